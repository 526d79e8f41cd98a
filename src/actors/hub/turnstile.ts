/**
 * Lets newcomers in a few at a time. A thousand clients that arrive in the same moment would otherwise be welcomed in one
 * turn of the event loop, and whoever is connected already would wait for the last of them. A newcomer who comes alone passes
 * at once. The longer the queue, the larger its share of a turn, so that it stays short.
 */
import type { IoScope } from '../io.ts';

export interface Turnstile<T> {
  /** Takes the newcomer at once when this turn has time left for it, or else as soon as those before it are through. */
  pass(newcomer: T): void;
  readonly waiting: number;
  /** @returns those who were still waiting: nobody will take them any more. */
  stop(): T[];
}

/** Milliseconds of one turn of the loop that newcomers may have. */
const shareMs = { least: 2, most: 8 };
/** As many that wait add one millisecond. */
const waitingPerMs = 400;

export function createTurnstile<T>(guard: IoScope<unknown>['guard'], take: (newcomer: T) => void): Turnstile<T> {
  const queue = new Set<T>();
  let left = shareMs.least;
  let turn: NodeJS.Immediate | undefined;

  function admit(newcomer: T) {
    const from = performance.now();
    take(newcomer);
    left -= performance.now() - from;
  }

  const onTurn = guard(() => {
    turn = undefined;
    left = Math.min(shareMs.most, shareMs.least + queue.size / waitingPerMs);
    for (const newcomer of queue) {
      if (left <= 0) break;
      queue.delete(newcomer);
      admit(newcomer);
    }
    if (queue.size > 0) turn = setImmediate(onTurn);
    else left = shareMs.least;
  });

  return {
    pass(newcomer) {
      turn ??= setImmediate(onTurn);
      if (left > 0 && queue.size === 0) admit(newcomer);
      else queue.add(newcomer);
    },
    get waiting() {
      return queue.size;
    },
    stop() {
      clearImmediate(turn);
      const behind = [...queue];
      queue.clear();
      return behind;
    },
  };
}
