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
      handshake: silent('handshake'),
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
const refused = { type: 'connect.refused', close: { code: 1002, reason: 'protocol mismatch' } } as const;
const granted = { type: 'connect.granted' } as const;
const announced = { type: 'shutdown.announced' } as const;
const drain = { type: 'gateway.drain' } as const;
const restart = { code: 1012, reason: 'service restart' };

it.each<[string, ClientSessionEvent[], string, CloseWith | undefined]>([
  ['waits for an introduction', [], 'connecting', undefined],
  ['is refused with the words of the verdict', [refused], 'closing', refused.close],
  ['is open once granted', [granted], 'open', undefined],
  ['is closed for what it said', [granted, violated], 'closing', violated.close],
  ['may still be answered after the announcement', [granted, announced], 'leaving', undefined],
  ['is sent away after that', [granted, announced, drain], 'closing', restart],
  ['is sent away without an announcement too', [granted, drain], 'closing', restart],
  ['ends with its socket while connecting', [{ type: 'socket.closed' }], 'closed', undefined],
  ['ends with its socket while open', [granted, { type: 'socket.closed' }], 'closed', undefined],
  ['ends with its socket while closing', [granted, drain, { type: 'socket.closed' }], 'closed', restart],
])('a client %s', (_story, events, state, close) => {
  const { actor, closedWith } = startSession();
  for (const event of events) actor.send(event);
  expect(actor.getSnapshot().value).toBe(state);
  expect(closedWith()).toEqual(close);
});

it('the listener changes with the state, never two at a time', () => {
  const { actor, heard } = startSession();
  for (const event of [granted, announced, drain]) actor.send(event);
  expect(heard).toEqual(['+handshake', '-handshake', '+pump', '-pump', '+refuse', '-refuse']);
});

it.each<[string, ClientSessionEvent[]]>([
  ['handshake', []],
  ['pump', [granted]],
  ['refuse', [granted, announced]],
])('a bug in the %s costs the connection, which is told that it was not to blame', (id, events) => {
  const { actor, closedWith } = startSession();
  for (const event of events) actor.send(event);
  actor.getSnapshot().children[id]?.send({ type: 'fail' } as never);
  expect(actor.getSnapshot().value).toBe('closing');
  expect(closedWith()).toEqual({ code: 1011, reason: 'internal error' });
});
