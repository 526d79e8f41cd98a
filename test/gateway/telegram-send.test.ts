import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RawClient } from '../support/raw-client.ts';
import { eventually, startTelegramWorld, stored, type TelegramWorld } from '../support/telegram-gateway.ts';

let world: TelegramWorld;
let client: RawClient;
let other: RawClient;

const online = () => eventually(() => world.gateway.stdout().includes('Telegram online'), 'the account is online');

beforeAll(async () => {
  world = await startTelegramWorld();
  client = await world.gateway.connect();
  other = await world.gateway.connect();
  await online();
});
afterAll(() => world.close());

let keys = 0;
const newKey = () => `key-${(keys += 1)}`;
const params = (to: number, more: object = {}) => ({
  to: String(to),
  message: 'hello',
  channel: 'telegram',
  idempotencyKey: newKey(),
  ...more,
});
const sendsTo = (chat: number) => world.telegram.callsOf('sendMessage', ({ chat_id: id }) => id === chat);

it('C-090 refuses `send` without a key, and with one answers the run id, the message id and the channel', async () => {
  const ann = world.bot.person();
  const { idempotencyKey: _key, ...keyless } = params(ann.id);
  expect(await client.request('send', keyless)).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
  const keyed = params(ann.id);
  const payload = await client.call('send', keyed);
  expect(payload).toEqual({
    runId: keyed.idempotencyKey,
    messageId: String(ann.history()[0]?.messageId),
    channel: 'telegram',
    chatId: String(ann.id),
  });
  expect(ann.answers()).toEqual(['hello']);
});

it('C-091 delivers once for one key: one after the other, at once, on one connection or two', async () => {
  const ann = world.bot.person();
  const once = params(ann.id);
  const first = await client.call('send', once);
  expect(await client.call('send', once)).toEqual({ ...first, duplicate: true });
  expect(await other.call('send', once)).toEqual({ ...first, duplicate: true });
  for (const pair of [
    [client, client],
    [client, other],
  ] as const) {
    const both = params(ann.id);
    const answers = await Promise.all(pair.map((one) => one.call('send', both)));
    const flags = answers.map(({ duplicate }) => duplicate);
    expect(flags.filter((flag) => flag === true)).toHaveLength(1);
    expect(flags.filter((flag) => flag === undefined)).toHaveLength(1);
    const [a, b] = answers.map(({ duplicate: _flag, ...rest }) => rest);
    expect(a).toEqual(b);
  }
  expect(ann.answers()).toHaveLength(3);
  expect(sendsTo(ann.id)).toHaveLength(3);
});

it('C-093 refuses a channel it does not have', async () => {
  const answer = await client.request('send', params(1, { channel: 'nope' }));
  expect(answer).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
  expect(answer.error?.message).toContain('unsupported channel');
});

it('M-043 understands the targets of Telegram, and refuses what is none', async () => {
  const ann = world.bot.person();
  const forum = world.bot.group({ forum: true, topics: [7] });
  for (const to of [`telegram:${ann.id}`, `tg:telegram:${ann.id}`, ` ${ann.id} `]) await client.call('send', params(0, { to }));
  expect(ann.answers()).toHaveLength(3);
  for (const to of [`telegram:group:${forum.id}:topic:7`, `${forum.id}:7`]) await client.call('send', params(0, { to }));
  expect(forum.history().map(({ thread }) => thread)).toEqual([7, 7]);
  for (const [to, chat] of [
    ['https://t.me/some_channel', '@some_channel'],
    ['t.me/some_channel', '@some_channel'],
    ['@some_channel', '@some_channel'],
    ['some_channel', '@some_channel'],
  ]) {
    const before = world.telegram.callsOf('sendMessage').length;
    expect((await client.request('send', params(0, { to }))).ok).toBe(false);
    expect(world.telegram.callsOf('sendMessage')[before]?.params).toMatchObject({ chat_id: chat });
  }
  for (const to of ['group:120@x', 'abc', 'not a chat', '12:34:56']) {
    expect(await client.request('send', params(0, { to })), to).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
  }
});

it('C-094 replays a failure for the same key without a second attempt', async () => {
  const ann = world.bot.person();
  ann.block();
  const refused = params(ann.id);
  const first = await client.request('send', refused);
  expect(first).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE' } });
  ann.unblock();
  const second = await other.request('send', refused);
  expect(second.error).toEqual(first.error);
  expect(sendsTo(ann.id)).toHaveLength(1);
});

it('M-044 cuts a long text of `send` as well, and says when all of it is there', async () => {
  const ann = world.bot.person();
  const long = params(ann.id, { message: 'a few words '.repeat(750) });
  const payload = await client.call('send', long);
  expect(ann.answers()).toHaveLength(3);
  for (const part of ann.answers()) expect(part.length).toBeLessThanOrEqual(4_000);
  expect(payload.messageId).toBe(String(ann.history()[0]?.messageId));
  expect(await client.call('send', long)).toEqual({ ...payload, duplicate: true });
  expect(ann.answers()).toHaveLength(3);
});

it('delivers the answer of an `agent` run to the chat it names, once for its key', async () => {
  const ann = world.bot.person();
  const request = { message: 'tell her', deliver: true, channel: 'telegram', to: String(ann.id), idempotencyKey: newKey() };
  client.send({ type: 'req', id: 'run', method: 'agent', params: request });
  const [, final] = await client.stages('run');
  expect(final.payload).toMatchObject({ runId: request.idempotencyKey, status: 'ok' });
  await world.telegram.until(() => ann.answers().length === 1);
  expect(await other.call('agent', request)).toEqual(final.payload);
  // A message behind it would have come after a second copy.
  await client.call('send', params(ann.id));
  expect(ann.answers()).toEqual(['you said: tell her', 'hello']);
});

it('C-094 refuses while the channel is down, writes nothing, and delivers the same key once it is up', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  await telegram.goDown();
  await eventually(() => world.gateway.stdout().includes('Telegram backingOff'), 'the account noticed');
  const early = params(ann.id);
  expect(await client.request('send', early)).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE', retryable: true } });
  expect(stored(world.gateway, 'SELECT state FROM outbox WHERE chat = ?', String(ann.id))).toEqual([]);
  await telegram.comeBack();
  const payload = await eventually(async () => {
    const answer = await client.request('send', early);
    return answer.ok ? answer.payload : undefined;
  }, 'the channel is back');
  expect(payload).toMatchObject({ runId: early.idempotencyKey, channel: 'telegram' });
  expect(payload).not.toHaveProperty('duplicate');
  expect(ann.answers()).toEqual(['hello']);
});
