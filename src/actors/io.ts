/**
 * The one way to make an actor that touches the world (sockets, files, timers, libraries).
 *   cleanup   runs exactly once, whatever ends the actor: stop, a throw at start, in a receiver or in a callback
 *   guard     wraps each callback handed to a library; a throw or rejection in it fails this actor and nothing else
 *   fence     after disposal guarded callbacks and reports do nothing, so a late result of an old life changes nothing
 * Bare `fromCallback` gives none of the three (it skips cleanup when a receiver throws and loses asynchronous errors).
 */
import { type AnyActorRef, type EventObject, fromCallback } from 'xstate';
import { type Breakage, breakable, breakAtStart, breakNow } from './fail-points.ts';
import { type FaultOwner, runOwned } from './faults.ts';

export interface IoScope<TInput, TEvent extends EventObject = EventObject> {
  readonly input: TInput;
  /** Aborted (with the string `stopped`) when the actor ends. */
  readonly signal: AbortSignal;
  readonly self: AnyActorRef;
  /** Wraps a callback for a library. Rejections of an async callback count as throws. */
  guard<A extends unknown[]>(callback: (...args: A) => unknown): (...args: A) => void;
  /** Runs async work owned by this actor; a rejection fails the actor. */
  run(work: () => Promise<unknown>): void;
  /** Sends an event to the parent, unless the actor has ended. */
  report(event: { type: string; [more: string]: unknown }): void;
  /** Handles events sent to this actor. */
  receive(handler: (event: TEvent) => void): void;
  /** One-shot timer that ends with the actor. */
  after(ms: number, work: () => unknown): () => void;
}

/** Ends an I/O actor as if a callback of it had thrown. Sent by the fault handler only. */
interface CrashEvent extends EventObject {
  type: 'io.crashed';
  error: unknown;
}

const isCrash = (event: EventObject): event is CrashEvent => event.type === 'io.crashed';

/**
 * @param start opens whatever the actor owns and may return a cleanup function.
 */
export function fromIo<TInput, TEvent extends EventObject = EventObject>(start: (scope: IoScope<TInput, TEvent>) => void | (() => void)) {
  return fromCallback<TEvent, TInput>(({ input, sendBack, receive, self }) => {
    const handlers: ((event: TEvent) => void)[] = [];
    // Made when they are asked for: there is an actor for each client, and few of those need them.
    let timers: Set<NodeJS.Timeout> | undefined;
    let abort: AbortController | undefined;
    let cleanup: (() => void) | undefined;
    let ended = false;
    const owner: FaultOwner = new Owner(self, crash);

    function dispose() {
      if (ended) return;
      ended = true;
      breakable?.delete(owner.path);
      // A plain value: building the default DOMException is measurable when thousands of actors end.
      abort?.abort('stopped');
      for (const timer of timers ?? []) clearTimeout(timer);
      timers?.clear();
      const end = cleanup;
      cleanup = undefined;
      end?.();
    }

    function crash(error: unknown): boolean {
      if (ended) return false;
      (self as AnyActorRef).send({ type: 'io.crashed', error });
      return true;
    }

    function guard<A extends unknown[]>(callback: (...args: A) => unknown) {
      return (...args: A): void => {
        if (ended) return;
        runOwned(owner, () => {
          try {
            const result = callback(...args);
            if (result instanceof Promise) result.catch(crash);
          } catch (error) {
            crash(error);
          }
        });
      };
    }

    const scope: IoScope<TInput, TEvent> = {
      input,
      get signal() {
        abort ??= new AbortController();
        if (ended) abort.abort('stopped');
        return abort.signal;
      },
      self: self as AnyActorRef,
      guard,
      run: (work) => guard(work)(),
      // The id tells a parent with many children who speaks, and its epoch from which life.
      report: (event) => {
        if (!ended) sendBack({ actorId: self.id, ...event });
      },
      receive: (handler) => void handlers.push(handler),
      after: (ms, work) => {
        const timer = setTimeout(
          guard(() => {
            timers?.delete(timer);
            return work();
          }),
          ms,
        );
        timers ??= new Set();
        timers.add(timer);
        return () => {
          clearTimeout(timer);
          timers?.delete(timer);
        };
      },
    };

    receive((event) => {
      if (isCrash(event)) {
        dispose();
        throw event.error;
      }
      try {
        runOwned(owner, () => {
          for (const handler of handlers) handler(event);
        });
      } catch (error) {
        dispose();
        throw error;
      }
    });

    const breakWith = (how: Breakage) => runOwned(owner, () => breakNow(how, guard));
    breakable?.set(owner.path, breakWith);
    if (breakAtStart !== undefined) {
      // Whose name it is that is the same for all of them: `handshake` of `handshake:…`.
      const [name = ''] = self.id.split(':');
      const sentenced = breakAtStart.get(name);
      if (sentenced !== undefined) queueMicrotask(() => breakWith(sentenced));
      breakAtStart.delete(name);
    }
    try {
      cleanup = runOwned(owner, () => start(scope)) ?? undefined;
    } catch (error) {
      dispose();
      throw error;
    }
    // The start itself may have ended the actor (a report that made the parent leave the state).
    if (ended) {
      const end = cleanup;
      cleanup = undefined;
      end?.();
    }
    return dispose;
  });
}

/** Its path is put together when a fault asks for it. */
class Owner implements FaultOwner {
  readonly #actor: AnyActorRef;
  readonly crash: FaultOwner['crash'];

  constructor(actor: AnyActorRef, crash: FaultOwner['crash']) {
    this.#actor = actor;
    this.crash = crash;
  }

  get path(): string {
    return pathOf(this.#actor);
  }
}

/** Name of an actor from the root down, epochs included: `core@1/hub@1/shard:3@1/client:…`. */
export function pathOf(actor: AnyActorRef): string {
  const names: string[] = [];
  let current: AnyActorRef | undefined = actor;
  while (current) {
    names.unshift(current.id);
    current = (current as { _parent?: AnyActorRef })._parent;
  }
  return names.join('/');
}
