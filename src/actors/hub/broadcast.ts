/**
 * Sends one event to many clients. The event is encoded and framed once; each client then costs one write of the same
 * bytes. Whoever reads too slowly misses droppable events (and sees a gap in `seq`) or is closed, and costs nobody else.
 */
import { type EventName, events, type EventRow } from '../../protocol/events.ts';
import type { StateVersion } from '../../protocol/frames.ts';
import type { Connection } from './connection.ts';
import { frameOf } from './frame.ts';

export interface Broadcaster {
  /** @param options.stateVersion both counters, for events about state. `droppable` overrides the event's row. */
  send(event: EventName, payload: unknown, options?: { stateVersion?: StateVersion; droppable?: boolean }): void;
  readonly seq: number;
}

export interface BroadcastPorts {
  connections: Iterable<Connection>;
  maxBufferedBytes: number;
  /** The canonical key of the conversation that an event is about. */
  sessionOf(payload: unknown): string;
  /** The client cannot be given what it must not miss. */
  onSlow(connection: Connection): void;
  onSent?(event: EventName, bytes: number): void;
}

export function createBroadcaster(ports: BroadcastPorts): Broadcaster {
  let seq = 0;
  return {
    get seq() {
      return seq;
    },
    send(event, payload, { stateVersion, droppable } = {}) {
      seq += 1;
      const row: EventRow = events[event];
      const mayDrop = droppable ?? row.droppable;
      let frame: Buffer | undefined;
      let session: string | undefined;
      for (const connection of ports.connections) {
        if (row.scope !== undefined && !mayHear(connection, row.scope)) continue;
        if (row.bySession && connection.follows && !connection.follows.has((session ??= ports.sessionOf(payload)))) continue;
        if (!connection.isOpen) continue;
        if (connection.buffered > ports.maxBufferedBytes) {
          if (!mayDrop) ports.onSlow(connection);
          continue;
        }
        frame ??= frameOf(JSON.stringify({ type: 'event', event, payload, seq, ...(stateVersion ? { stateVersion } : {}) }));
        connection.socket.write(frame);
      }
      if (frame) ports.onSent?.(event, frame.length);
    },
  };
}

/** For events only the named scope or admin counts; nodes hear none of them (protocol 2.4, 5). */
const mayHear = ({ identity }: Connection, scope: string) =>
  identity !== undefined && identity.role === 'operator' && (identity.scopes.has(scope) || identity.scopes.has('operator.admin'));
