/**
 * The life of one WebSocket client, from the open socket to the closed one. Owns what may be said in which state; the
 * socket itself belongs to the invoked actors, and which of them listens *is* the state.
 *
 *   connecting ──connect.granted──▶ open ──shutdown.announced──▶ leaving ─┐
 *     │  └──connect.refused──▶ closing ◀──pump.violated──┴◀──gateway.drain┘
 *     └──shutdown.announced | gateway.drain──▶ (back to the listener) closed
 *   any ──socket.closed──▶ closed      any ──an actor of it broke──▶ closing
 */
import { assign, type ErrorActorEvent, setup } from 'xstate';
import { notProvided } from './not-provided.ts';

export interface CloseWith {
  code: number;
  reason: string;
}

export type ClientSessionEvent =
  | { type: 'connect.granted' }
  | { type: 'connect.refused'; close: CloseWith }
  | { type: 'pump.violated'; close: CloseWith }
  | { type: 'socket.closed' }
  | { type: 'shutdown.announced' }
  | { type: 'gateway.drain' };

interface Context {
  connId: string;
  close: CloseWith;
}

export const clientSession = setup({
  types: {
    input: {} as { connId: string },
    context: {} as Context,
    events: {} as ClientSessionEvent | ErrorActorEvent,
    tags: {} as 'open',
  },
  actors: {
    handshake: notProvided<{ connId: string }>('handshake'),
    requestPump: notProvided<{ connId: string }>('requestPump'),
    refusePump: notProvided<{ connId: string }>('refusePump'),
    closer: notProvided<{ connId: string; close: CloseWith }>('closer'),
  },
  actions: {
    noteClose: assign({ close: ({ event }) => (event as { close: CloseWith }).close }),
    /** A bug of ours: the client learns that it was not to blame. */
    noteFault: assign({ close: { code: 1011, reason: 'internal error' } }),
    /** Whoever has not said a word yet is no client of this generation: the socket waits for the next one. */
    handBack: (_, _params: undefined) => {},
    noteRestart: assign({ close: { code: 1012, reason: 'service restart' } }),
  },
}).createMachine({
  id: 'clientSession',
  context: ({ input }) => ({ connId: input.connId, close: { code: 1000, reason: '' } }),
  initial: 'connecting',
  on: { 'socket.closed': '.closed' },
  states: {
    /** The handshake actor owns the ten seconds: one ticker for all of them, not a timer each. */
    connecting: {
      invoke: {
        id: 'handshake',
        src: 'handshake',
        input: ({ context }) => ({ connId: context.connId }),
        onError: { target: 'closing', actions: 'noteFault' },
      },
      on: {
        'connect.granted': 'open',
        'connect.refused': { target: 'closing', actions: 'noteClose' },
        'shutdown.announced': { target: 'closed', actions: 'handBack' },
        'gateway.drain': { target: 'closed', actions: 'handBack' },
      },
    },
    open: {
      tags: 'open',
      // The pump owns the socket's `message` listener exactly as long as this state lasts.
      invoke: {
        id: 'pump',
        src: 'requestPump',
        input: ({ context }) => ({ connId: context.connId }),
        onError: { target: 'closing', actions: 'noteFault' },
      },
      on: {
        'pump.violated': { target: 'closing', actions: 'noteClose' },
        'shutdown.announced': 'leaving',
        'gateway.drain': { target: 'closing', actions: 'noteRestart' },
      },
    },
    /** `shutdown` was sent; answers that are still owed may go out, new requests are told to come back. */
    leaving: {
      invoke: {
        id: 'refuse',
        src: 'refusePump',
        input: ({ context }) => ({ connId: context.connId }),
        onError: { target: 'closing', actions: 'noteFault' },
      },
      on: { 'gateway.drain': { target: 'closing', actions: 'noteRestart' } },
    },
    closing: {
      invoke: {
        id: 'closer',
        src: 'closer',
        input: ({ context }) => ({ connId: context.connId, close: context.close }),
        // It ends the socket in its cleanup, also when it breaks.
        onError: 'closed',
      },
    },
    closed: { type: 'final' },
  },
});
