/**
 * Runs work at once when it is cheap, and less often the more it costs: after a run that took t, the next may start 10 t
 * later, so it never takes more than about a tenth of the loop. The last request is always served, with the newest state.
 */
export interface Coalesced {
  (): void;
  stop(): void;
}

const costFactor = 10;

export function coalesce(work: () => void, minGapMs = 0): Coalesced {
  let nextAt = 0;
  let timer: NodeJS.Timeout | undefined;

  function run() {
    timer = undefined;
    const from = performance.now();
    work();
    const to = performance.now();
    nextAt = to + Math.max(minGapMs, (to - from) * costFactor);
  }

  function request() {
    if (timer !== undefined) return;
    const wait = nextAt - performance.now();
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
