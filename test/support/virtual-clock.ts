/**
 * Time for tests: a heap of timers ordered by due time, then by order of creation. `now` is each timer's own due time
 * while it fires, so nested timers start where they should (XState's own simulated clock jumps to the end first).
 */
export interface VirtualClock {
  now(): number;
  setTimeout(work: (...args: unknown[]) => void, ms: number): number;
  clearTimeout(id: number): void;
  /** Moves time on, firing everything that becomes due. */
  advance(ms: number): void;
  /** Timers still waiting. */
  readonly pending: number;
}

interface Entry {
  id: number;
  due: number;
  work: (...args: unknown[]) => void;
}

const before = (a: Entry, b: Entry) => a.due < b.due || (a.due === b.due && a.id < b.id);

export function createVirtualClock(start = 0): VirtualClock {
  const heap: Entry[] = [];
  const cancelled = new Set<number>();
  const live = new Set<number>();
  let time = start;
  let nextId = 1;

  function push(entry: Entry) {
    heap.push(entry);
    let index = heap.length - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(entry, heap[parent] as Entry)) break;
      heap[index] = heap[parent] as Entry;
      index = parent;
    }
    heap[index] = entry;
  }

  function pop(): Entry | undefined {
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child += 1;
      if (!before(heap[child] as Entry, last)) break;
      heap[index] = heap[child] as Entry;
      index = child;
    }
    heap[index] = last;
    return top;
  }

  return {
    now: () => time,
    setTimeout(work, ms) {
      const id = nextId++;
      live.add(id);
      push({ id, due: time + Math.max(0, Number.isFinite(ms) ? ms : 0), work });
      return id;
    },
    clearTimeout(id) {
      if (live.delete(id)) cancelled.add(id);
    },
    advance(ms) {
      const until = time + ms;
      for (let head = heap[0]; head !== undefined && head.due <= until; head = heap[0]) {
        pop();
        if (cancelled.delete(head.id)) continue;
        live.delete(head.id);
        time = head.due;
        head.work();
      }
      time = until;
    },
    get pending() {
      return live.size;
    },
  };
}
