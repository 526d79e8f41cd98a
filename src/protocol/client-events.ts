/** Events on their way to a reader that may be slower than the gateway. */
import { events } from './events.ts';
import type { EventFrame } from './frames.ts';

/** `gap`: events were lost right before this one; ask for the present state again. */
export type ClientEvent = EventFrame & { gap?: true };

const maxWaiting = 1_024;

export class EventBuffer {
  readonly #waiting: ClientEvent[] = [];
  #hasGap = false;
  #isOver = false;
  #wake: () => void = () => {};

  push(event: EventFrame): void {
    this.#waiting.push(this.#hasGap ? { ...event, gap: true } : event);
    this.#hasGap = false;
    if (this.#waiting.length > maxWaiting) this.#dropOne();
    this.#wake();
  }

  /** The next event comes after a hole: a lost connection, for example. */
  markGap(): void {
    this.#hasGap = true;
  }

  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  async *read(onEnd: () => void): AsyncGenerator<ClientEvent, void, void> {
    try {
      for (;;) {
        const next = this.#waiting.shift();
        if (next) yield next;
        else if (this.#isOver) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      onEnd();
    }
  }

  /** The oldest event that may be skipped goes, as the gateway itself would choose; without one, the oldest of all. */
  #dropOne(): void {
    const droppable = this.#waiting.findIndex(
      ({ event }) => (events as Record<string, { droppable: boolean } | undefined>)[event]?.droppable === true,
    );
    const at = Math.max(0, droppable);
    this.#waiting.splice(at, 1);
    const after = this.#waiting[at];
    if (after) this.#waiting[at] = { ...after, gap: true };
    else this.#hasGap = true;
  }
}
