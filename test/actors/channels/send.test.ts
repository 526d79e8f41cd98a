import { afterEach, beforeEach, expect, it } from 'vitest';
import type { OutboxPort } from '../../../src/actors/channels/outbox.ts';
import { createSend, type SendParams } from '../../../src/actors/channels/send.ts';
import { startStore } from '../../support/start-store.ts';

let world: Awaited<ReturnType<typeof startStore>>;
beforeEach(async () => {
  world = await startStore();
});
afterEach(() => {
  world.kill();
  world.remove();
});

const address = { channel: 'telegram', account: 'default', chat: '7' };
const lane = 'telegram:default:7:';
const request: SendParams = { to: '7', message: 'one two three', idempotencyKey: 'k' };

/** `send` on a real store, with an outbox in which nothing happens in time. */
function startSend() {
  const woken: string[] = [];
  const outbox: OutboxPort = {
    wake: (name) => void woken.push(name),
    wakeAccount: () => {},
    settled: () => Promise.resolve(undefined),
    depth: () => 0,
  };
  const send = createSend({
    store: () => world.store,
    outbox: () => outbox,
    now: () => 1_000,
    resolve: () => address,
    checkOnline: () => {},
    chunk: (_channel, text) => text.split(' '),
  });
  return { send, woken };
}
const rowOf = async (key: string) => (await world.store.call('outbox.get', { key })).row;

it('takes back all parts of a message that did not begin to leave in time, and frees its key', async () => {
  const { send, woken } = startSend();
  await expect(send(request)).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    retryable: true,
    message: expect.stringContaining('withdrawn') as string,
  });
  expect(woken).toEqual([lane]);
  for (const key of ['send:k', 'send:k:2', 'send:k:3']) expect(await rowOf(key)).toBeNull();
  await expect(send(request)).rejects.toMatchObject({ message: expect.stringContaining('withdrawn') as string });
});

it('leaves alone what was attempted, and lets the same key learn how it ended', async () => {
  const { send } = startSend();
  await world.store.call('outbox.insert', {
    rows: [
      { key: 'send:k', address, kind: 'text', payload: { text: 'one', parts: 2 } },
      { key: 'send:k:2', address, kind: 'text', payload: { text: 'two' } },
    ],
    now: 1_000,
  });
  await world.store.call('outbox.claim', { lane, now: 1_000 });
  await expect(send({ ...request, message: 'some other words altogether' })).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    retryable: true,
    details: { outcome: 'pending' },
  });
  expect((await rowOf('send:k'))?.state).toBe('sending');
  expect((await rowOf('send:k:2'))?.payload).toEqual({ text: 'two' });
  // Another text under a known key adds nothing.
  expect(await rowOf('send:k:3')).toBeNull();
});
