/** Who listens to a client, and with which words it is sent away (protocol 1.2). */
import { createActor, type EventObject, fromCallback } from 'xstate';
import { expect, it } from 'vitest';
import { type ClientSessionEvent, clientSession, type CloseWith } from '../../src/machines/client-session.ts';

function startSession() {
  let close: CloseWith | undefined;
  const heard: string[] = [];
  const silent = (name: string) =>
    fromCallback<EventObject, { connId: string }>(({ receive }) => {
      heard.push(`+${name}`);
      receive(() => {
        throw new Error('a bug');
      });
      return () => void heard.push(`-${name}`);
    });
  const machine = clientSession.provide({
    actors: {
      requestPump: silent('pump'),
      refusePump: silent('refuse'),
      closer: fromCallback<EventObject, { connId: string; close: CloseWith }>(({ input }) => {
        close = input.close;
      }),
    },
  });
  const actor = createActor(machine, { input: { connId: 'c' } }).start();
  return { actor, heard, closedWith: () => close };
}

const violated = { type: 'pump.violated', close: { code: 1008, reason: 'invalid JSON' } } as const;
const announced = { type: 'shutdown.announced' } as const;
const drain = { type: 'gateway.drain' } as const;
const restart = { code: 1012, reason: 'service restart' };

it.each<[string, ClientSessionEvent[], string, CloseWith | undefined]>([
  ['is open from the start', [], 'open', undefined],
  ['is closed for what it said', [violated], 'closing', violated.close],
  ['may still be answered after the announcement', [announced], 'leaving', undefined],
  ['is sent away after that', [announced, drain], 'closing', restart],
  ['is sent away without an announcement too', [drain], 'closing', restart],
  ['ends with its socket while open', [{ type: 'socket.closed' }], 'closed', undefined],
  ['ends with its socket while closing', [drain, { type: 'socket.closed' }], 'closed', restart],
])('a client %s', (_story, events, state, close) => {
  const { actor, closedWith } = startSession();
  for (const event of events) actor.send(event);
  expect(actor.getSnapshot().value).toBe(state);
  expect(closedWith()).toEqual(close);
});

it('the listener changes with the state, never two at a time', () => {
  const { actor, heard } = startSession();
  for (const event of [announced, drain]) actor.send(event);
  expect(heard).toEqual(['+pump', '-pump', '+refuse', '-refuse']);
});

it.each<[string, ClientSessionEvent[]]>([
  ['pump', []],
  ['refuse', [announced]],
])('a bug in the %s costs the connection, which is told that it was not to blame', (id, events) => {
  const { actor, closedWith } = startSession();
  for (const event of events) actor.send(event);
  actor.getSnapshot().children[id]?.send({ type: 'fail' } as never);
  expect(actor.getSnapshot().value).toBe('closing');
  expect(closedWith()).toEqual({ code: 1011, reason: 'internal error' });
});
