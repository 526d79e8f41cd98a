/** How many runs may go on at once, by kind. A conversation takes its own turn first, a place in a lane second. */
import PQueue from 'p-queue';

export interface Lanes {
  /** Resolves `granted` when it is this run's turn; the place is held until the returned function is called. */
  take(lane: string, granted: () => void): () => void;
  /** Runs waiting for a place, over all lanes. */
  readonly waiting: number;
}

export interface LaneWidths {
  main: number;
  subagent: number;
  cron: number;
}

export function createLanes(widths: LaneWidths): Lanes {
  const queues = new Map<string, PQueue>();
  const widthOf = (lane: string) => (Object.hasOwn(widths, lane) ? widths[lane as keyof LaneWidths] : 1);

  function queueOf(lane: string): PQueue {
    let queue = queues.get(lane);
    if (queue === undefined) {
      queue = new PQueue({ concurrency: widthOf(lane) });
      queues.set(lane, queue);
    }
    return queue;
  }

  return {
    get waiting() {
      return [...queues.values()].reduce((sum, queue) => sum + queue.size, 0);
    },
    take(lane, granted) {
      let giveBack: () => void = () => {};
      let isOver = false;
      const held = new Promise<void>((resolve) => {
        giveBack = resolve;
      });
      const queue = queueOf(lane);
      void queue.add(async () => {
        // Whoever left while waiting must not keep the place.
        if (!isOver) {
          granted();
          await held;
        }
        // Callers choose the names: a lane that its last run leaves is forgotten.
        if (queue.size === 0 && queue.pending === 1) queues.delete(lane);
      });
      return () => {
        isOver = true;
        giveBack();
      };
    },
  };
}
