/**
 * What the outbox knows beside the store, for the life of the process: lanes in the middle of a platform call, and how fast
 * was sent lately. A soft restart rebuilds the actors; the calls they had begun go on, and the platform counts on as well.
 */
import PQueue from 'p-queue';
import type { Rate } from './channel.ts';

export interface OutboxMemory {
  /** The lane is somebody's until the returned function is called. */
  hold(lane: string): () => void;
  /** Resolves when nobody holds the lane. */
  free(lane: string): Promise<void>;
  /** Lanes that are held: their rows in `sending` are not left behind. */
  held(): string[];
  /** How long a lane has to wait for its chat's rate. */
  delayOf(lane: string, rate: Rate): number;
  noteSent(lane: string): void;
  /** Runs the work within the rate of its account. */
  paced<T>(account: string, rate: Rate, work: () => Promise<T>): Promise<T>;
}

const maxLanes = 5_000;
const maxNoted = 20;

export function createOutboxMemory(now: () => number): OutboxMemory {
  const holds = new Map<string, Promise<void>>();
  const sentAt = new Map<string, number[]>();
  const accounts = new Map<string, PQueue>();

  return {
    hold(lane) {
      const { promise, resolve } = Promise.withResolvers<void>();
      holds.set(lane, promise);
      return () => {
        if (holds.get(lane) === promise) holds.delete(lane);
        resolve();
      };
    },
    async free(lane) {
      for (let held = holds.get(lane); held !== undefined; held = holds.get(lane)) await held;
    },
    held: () => [...holds.keys()],
    delayOf(lane, { cap, intervalMs }) {
      const recent = (sentAt.get(lane) ?? []).filter((at) => now() - at < intervalMs);
      return recent.length < cap ? 0 : intervalMs - (now() - (recent.at(-cap) ?? now()));
    },
    noteSent(lane) {
      const recent = [...(sentAt.get(lane) ?? []), now()].slice(-maxNoted);
      sentAt.delete(lane);
      sentAt.set(lane, recent);
      for (const oldest of sentAt.keys()) {
        if (sentAt.size <= maxLanes) break;
        sentAt.delete(oldest);
      }
    },
    paced(account, { cap, intervalMs }, work) {
      let queue = accounts.get(account);
      if (queue === undefined) {
        queue = new PQueue({ concurrency: cap, intervalCap: cap, interval: intervalMs });
        accounts.set(account, queue);
      }
      return queue.add(work);
    },
  };
}
