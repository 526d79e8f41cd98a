/**
 * Deadlines that all lie the same time ahead. The oldest is always due first, so one timer serves thousands: a timer per
 * connection would make every stop of an actor walk them all.
 */
export interface Deadlines {
  /** @param from moment the time starts to count. */
  add(from: number, expire: () => void): Deadline;
  remove(deadline: Deadline): void;
  stop(): void;
}

export interface Deadline {
  readonly due: number;
  readonly expire: () => void;
}

export function createDeadlines(limitMs: number, now: () => number): Deadlines {
  const waiting = new Set<Deadline>();
  let timer: NodeJS.Timeout | undefined;

  function arm() {
    const [head] = waiting;
    if (head === undefined || timer !== undefined) return;
    timer = setTimeout(fire, Math.max(0, head.due - now())).unref();
  }

  function fire() {
    timer = undefined;
    for (const deadline of waiting) {
      if (deadline.due > now()) break;
      waiting.delete(deadline);
      deadline.expire();
    }
    arm();
  }

  return {
    add(from, expire) {
      const deadline = { due: from + limitMs, expire };
      waiting.add(deadline);
      arm();
      return deadline;
    },
    remove(deadline) {
      // The timer stays: setting it anew for each client would cost more than one look too many.
      waiting.delete(deadline);
    },
    stop() {
      waiting.clear();
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
