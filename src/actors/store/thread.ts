/**
 * Starts the store's thread. Kept apart from its actor, because it is the first thing a gateway does: the thread takes as
 * long to come up as everything else together, and touches no file before it is told to.
 */
import { Worker } from 'node:worker_threads';

/** In a release bundle the worker is a file of its own beside the bundle. */
const workerUrl = () => new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './store-worker.mjs', import.meta.url);

export const startThread = (): Worker => new Worker(workerUrl(), { name: 'store' });

/**
 * A thread without an actor: started ahead of its first one, and kept from one generation to the next, because a new thread
 * takes longer than all of a soft restart. It has no file open while it is here.
 */
export interface WarmThread {
  /** The thread, or `undefined` when there is none. */
  take(): Worker | undefined;
  /** A thread that has closed its file and is of use to a successor. */
  give(worker: Worker): void;
  /** Ends what no actor took over. */
  cool(): void;
}

export function warmThread(): WarmThread {
  let idle: Worker | undefined;

  function give(worker: Worker) {
    worker.removeAllListeners();
    // Nobody is there to take an error; a thread that is dead when it is adopted says nothing and counts as a slow start.
    worker.on('error', () => {});
    worker.unref();
    idle = worker;
  }

  give(startThread());
  return {
    give,
    take() {
      const taken = idle;
      idle = undefined;
      taken?.removeAllListeners();
      taken?.ref();
      return taken;
    },
    cool() {
      void idle?.terminate();
      idle = undefined;
    },
  };
}
