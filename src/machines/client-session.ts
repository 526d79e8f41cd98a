/**
 * The life of one WebSocket client, from `hello-ok` to the closed socket: before that it is a stranger, whom an actor of its
 * own listens to. Owns what may be said in which state; the socket itself belongs to the invoked actors, and which of them
 * listens *is* the state.
 *
 *   open ──shutdown.announced──▶ leaving ─┐
 *    └──pump.violated──▶ closing ◀────────┴── gateway.drain
 *   any ──socket.closed──▶ closed      any ──an actor of it broke──▶ closing
 */
import { assign, type ErrorActorEvent, setup } from 'xstate';
import { notProvided } from './not-provided.ts';

export interface CloseWith {
  code: number;
  reason: string;
}

export type ClientSessionEvent =
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
    requestPump: notProvided<{ connId: string }>('requestPump'),
    refusePump: notProvided<{ connId: string }>('refusePump'),
    closer: notProvided<{ connId: string; close: CloseWith }>('closer'),
  },
  actions: {
    noteClose: assign({ close: ({ event }) => (event as { close: CloseWith }).close }),
    /** A bug of ours: the client learns that it was not to blame. */
    noteFault: assign({ close: { code: 1011, reason: 'internal error' } }),
    noteRestart: assign({ close: { code: 1012, reason: 'service restart' } }),
  },
}).createMachine({
  id: 'clientSession',
  context: ({ input }) => ({ connId: input.connId, close: { code: 1000, reason: '' } }),
  initial: 'open',
  on: { 'socket.closed': '.closed' },
  states: {
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
