/**
 * Runs work at once while it is cheap, and less often the more it costs: work that took t is paid off in 10 t, so it never
 * takes more than about a tenth of the loop. A burst is served call by call until a second is owed, for readers that count
 * the changes they see. The last request is always served, with the newest state.
 */
export interface Coalesced {
  (): void;
  stop(): void;
}

const costFactor = 10;
const creditMs = 1_000;

export function coalesce(work: () => void, minGapMs = 0): Coalesced {
  let paidAt = 0;
  let lastAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;

  function run() {
    timer = undefined;
    const from = performance.now();
    work();
    lastAt = performance.now();
    paidAt = Math.max(paidAt, from) + (lastAt - from) * costFactor;
  }

  function request() {
    if (timer !== undefined) return;
    const wait = Math.max(paidAt - creditMs, lastAt + minGapMs) - performance.now();
    // Below a millisecond a timer would cost more than the work.
    if (wait < 1) run();
    else timer = setTimeout(run, wait);
  }

  request.stop = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  return request;
}
