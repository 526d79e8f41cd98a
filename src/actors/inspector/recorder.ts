/**
 * The flight recorder: which actor was created, changed its state, ended or failed, and when. Always on, of fixed size, and
 * never any context or event payload, so no secret and no message text can enter it.
 */
import type { AnyActorRef, InspectionEvent } from 'xstate';
import { pathOf } from '../io.ts';

export interface FlightRecord {
  seq: number;
  /** Milliseconds since the Unix epoch. */
  t: number;
  kind: 'created' | 'state' | 'ended' | 'failed' | 'fault';
  actor: string;
  state?: string;
  /** Type of the event that led here. */
  cause?: string;
  /** First words of an error's message. */
  error?: string;
}

export interface Recorder {
  /** Given to `createActor` as `inspect`. */
  readonly inspect: (event: InspectionEvent) => void;
  fault(path: string, error: unknown): void;
  /** Newest last. @param actor only records of this path and what lies below it. */
  history(options: { limit?: number; actor?: string }): FlightRecord[];
  createdAt(actor: AnyActorRef): number | undefined;
  /** Type of the event that led to the present state. */
  causeOf(actor: AnyActorRef): string | undefined;
}

/**
 * What is known of an actor stands on the actor itself: thousands come and go, and each entry of a `WeakMap` is work for every
 * garbage collection.
 */
const seenKey = Symbol('seen by the recorder');

type Watched = AnyActorRef & { _parent?: Watched; [seenKey]?: Seen };

interface Seen {
  createdAt: number;
  path: string;
  value: unknown;
  status: string;
  cause: string | undefined;
}

export interface RecorderOptions {
  now(): number;
  size?: number;
  /** An actor failed; its supervisor knows by now. */
  onFailed?(actor: string, error: string): void;
  /** Somebody failed, was started again, or a supervisor is steady: who is well may have changed. */
  onTurn?(): void;
}

export function createRecorder(options: RecorderOptions): Recorder {
  const { now, size = 10_000, onFailed = () => {}, onTurn = () => {} } = options;
  const ring: FlightRecord[] = [];
  let seq = 0;

  function add(record: Omit<FlightRecord, 'seq' | 't'>) {
    // Overwrites the oldest in place: the ring never moves its records.
    ring[seq % size] = { seq: seq + 1, t: now(), ...record };
    seq += 1;
  }

  function see(actor: Watched): Seen {
    const parent = actor._parent?.[seenKey];
    actor[seenKey] ??= {
      createdAt: now(),
      path: parent === undefined ? pathOf(actor) : `${parent.path}/${actor.id}`,
      value: undefined,
      status: 'active',
      cause: undefined,
    };
    return actor[seenKey];
  }

  return {
    inspect(event) {
      const actor = event.actorRef as unknown as AnyActorRef;
      if (event.type === '@xstate.actor') {
        add({ kind: 'created', actor: see(actor).path });
        if (!/@1$|^[^@]*$/.test(actor.id)) onTurn();
        return;
      }
      if (event.type !== '@xstate.snapshot') return;
      const snapshot = event.snapshot as { value?: unknown; status: string; error?: unknown };
      const entry = see(actor);
      // States are compared by identity first: XState keeps the value object when nothing moved.
      if (snapshot.value === entry.value && snapshot.status === entry.status) return;
      const state = stateText(snapshot.value);
      const moved = state !== stateText(entry.value) || snapshot.status !== entry.status;
      entry.value = snapshot.value;
      if (!moved) return;
      entry.cause = event.event.type;
      const isNew = snapshot.status !== entry.status;
      entry.status = snapshot.status;
      if (isNew && snapshot.status === 'error') {
        const error = messageOf(snapshot.error);
        add({ kind: 'failed', actor: entry.path, cause: event.event.type, error });
        onFailed(entry.path, error);
        onTurn();
      } else if (isNew && snapshot.status !== 'active') add({ kind: 'ended', actor: entry.path, cause: event.event.type });
      else if (state !== '') {
        add({ kind: 'state', actor: entry.path, state, cause: event.event.type });
        if (state === 'active.steady') onTurn();
      }
    },
    fault: (path, error) => add({ kind: 'fault', actor: path, error: messageOf(error) }),
    history({ limit = 200, actor }) {
      const start = seq > size ? seq % size : 0;
      const ordered = seq > size ? [...ring.slice(start), ...ring.slice(0, start)] : ring.slice(0, seq);
      const chosen =
        actor === undefined ? ordered : ordered.filter((record) => record.actor === actor || record.actor.startsWith(`${actor}/`));
      return chosen.slice(-limit);
    },
    createdAt: (actor: Watched) => actor[seenKey]?.createdAt,
    causeOf: (actor: Watched) => actor[seenKey]?.cause,
  };
}

/** `{ open: 'normal' }` → `open.normal`; parallel regions are joined by `|`. */
export function stateText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === null || typeof value !== 'object') return '';
  return Object.entries(value)
    .map(([name, inner]) => {
      const rest = stateText(inner);
      return rest === '' ? name : `${name}.${rest}`;
    })
    .join('|');
}

/** Present state of a machine, as text. */
export const stateOf = (actor: { getSnapshot(): unknown }): string => stateText((actor.getSnapshot() as { value: unknown }).value);

/** The class always; the words only as far as an error of our own or of the platform goes. */
const messageOf = (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : typeof error).slice(0, 200);
