/**
 * What is in hand per chat: one row after the other, chats side by side. A row that cannot be handled now (the store is
 * away, too much is waiting) is tried again in its place, because going on with the next one would turn the order round.
 */
import PQueue from 'p-queue';

export interface ChatQueues {
  add(key: string, work: () => Promise<void>): void;
  /** What this chat is in the middle of right now has come to its end; what waits behind it does not count. */
  settled(key: string): Promise<void>;
}

interface Line {
  queue: PQueue;
  current: Promise<void>;
}

export interface RetryRules {
  /** When this fires the rows belong to somebody else. */
  signal: AbortSignal;
  /** Whether another try may help. */
  isPassing(error: unknown): boolean;
  /** No try will help, and the row has to come to an end of its own. */
  onHopeless(error: unknown): void;
}

const firstPauseMs = 250;
const longestPauseMs = 5_000;

/** Repeats the work until it is done, hopeless, or somebody else's. */
export async function persist(work: () => Promise<void>, { signal, isPassing, onHopeless }: RetryRules): Promise<void> {
  for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return;
      if (!isPassing(error)) return onHopeless(error);
    }
    await pause(pauseMs, signal);
  }
}

export function createChatQueues(): ChatQueues {
  const lines = new Map<string, Line>();

  /** Forgets a queue that has run dry. One that was forgotten while it works would get a rival, and the order would be lost. */
  function forgetWhenDry(key: string, line: Line) {
    void line.queue.onIdle().then(() => {
      if (line.queue.size > 0 || line.queue.pending > 0) forgetWhenDry(key, line);
      else if (lines.get(key) === line) lines.delete(key);
    });
  }

  return {
    add(key, work) {
      const known = lines.get(key);
      const line = known ?? { queue: new PQueue({ concurrency: 1 }), current: Promise.resolve() };
      void line.queue.add(() => {
        line.current = work();
        return line.current;
      });
      if (known !== undefined) return;
      lines.set(key, line);
      forgetWhenDry(key, line);
    },
    settled: (key) => lines.get(key)?.current ?? Promise.resolve(),
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
