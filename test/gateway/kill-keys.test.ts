/** What was accepted under a key is one thing, whatever dies in between. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { Gateway } from '../support/gateway.ts';
import { eventually, startTelegramWorld, stored, type TelegramWorld } from '../support/telegram-gateway.ts';

let world: TelegramWorld;
const long = `${'first part '.repeat(300)}\n\n${'second part '.repeat(300)}\n\n${'third part '.repeat(200)}`;

beforeAll(async () => {
  world = await startTelegramWorld({
    script: { long: [{ text: long }], hang: [{ hang: true }], slow: [{ delayMs: 300 }, { text: 'late' }] },
  });
});
afterAll(() => world.close());
afterEach(() => world.telegram.noFaults());

/** Another life that dies when it comes by a fail point. */
async function doomed(point: string): Promise<Gateway> {
  await world.gateway.kill();
  return world.restart({ env: { OPENCLAW_FAIL_POINTS: `${point}:1:crash` } });
}
const traces = (runId: string) => ({
  final: stored(world.gateway, 'SELECT state FROM runs WHERE run_id = ? AND final IS NOT NULL', runId).length,
  outbox: stored(world.gateway, 'SELECT state FROM outbox WHERE key LIKE ?', `run:${runId}:%`).length,
  history: stored(world.gateway, `SELECT seq AS state FROM history WHERE json_extract(entry, '$.runId') = ?`, runId).length,
  journal: stored(world.gateway, 'SELECT state FROM journal WHERE run_id = ?', runId).map(({ state }) => state),
});
const runOf = (chat: number) => String(stored(world.gateway, 'SELECT * FROM journal WHERE chat = ?', String(chat))[0]?.['run_id']);

it.each(['run.final', 'outbox.inserted'])(
  'A-068 leaves nothing of an answer when it is killed at %s, and all of it the next time',
  async (point) => {
    const { telegram, bot } = world;
    const gateway = await doomed(point);
    const ann = bot.person();
    ann.say('long');
    await gateway.exited;
    const runId = runOf(ann.id);
    expect(traces(runId)).toEqual({ final: 0, outbox: 0, history: 0, journal: ['routed'] });
    expect(ann.answers()).toEqual([]);
    await world.restart();
    await telegram.until(() => ann.answers().length >= 3, 'all parts arrive');
    await eventually(() => traces(runId).journal[0] === 'handled', 'the journal row is handled');
    expect(traces(runId)).toEqual({ final: 1, outbox: ann.answers().length, history: 2, journal: ['handled'] });
    expect(ann.answers().join(' ').replace(/\s+/g, ' ').trim()).toBe(long.replace(/\s+/g, ' ').trim());
  },
);

it('A-068 leaves all of an answer when it is killed right after the commit', async () => {
  const { telegram, bot } = world;
  const gateway = await doomed('run.done');
  const ann = bot.person();
  ann.say('long');
  await gateway.exited;
  const runId = runOf(ann.id);
  expect(traces(runId)).toMatchObject({ final: 1, history: 2, journal: ['handled'] });
  const parts = traces(runId).outbox;
  expect(parts).toBeGreaterThanOrEqual(3);
  expect(ann.answers()).toEqual([]);
  await world.restart();
  await telegram.until(() => ann.answers().length === parts);
  expect(stored(world.gateway, 'SELECT starts AS state FROM runs WHERE run_id = ?', runId)[0]?.state).toBe(1);
});

it('F-04 gives the same run for the same key after a kill, and never a second one', async () => {
  const gateway = await doomed('run.model');
  const client = await gateway.connect();
  client.send({
    type: 'req',
    id: 'a',
    method: 'agent',
    params: { message: 'slow', idempotencyKey: 'agent-key', sessionKey: 'agent:main:keys' },
  });
  expect((await client.response('a')).payload).toMatchObject({ runId: 'agent-key', status: 'accepted' });
  await gateway.exited;
  const again = await world.restart();
  const next = await again.connect();
  const [ack, final] = await (async () => {
    next.send({ type: 'req', id: 'b', method: 'agent', params: { message: 'something else', idempotencyKey: 'agent-key' } });
    return next.stages('b');
  })();
  expect(ack.payload).toMatchObject({ runId: 'agent-key', status: 'accepted' });
  expect(final.payload).toMatchObject({ runId: 'agent-key', status: 'ok', result: { payloads: [{ text: 'late' }] } });
  expect(stored(again, `SELECT state, starts, session_key FROM runs WHERE run_id = 'agent-key'`)).toEqual([
    { state: 'done', starts: 2, session_key: 'agent:main:keys' },
  ]);
  // Ended, and killed again: the answer is the first one.
  await again.kill();
  const last = await (await world.restart()).connect();
  expect(await last.call('agent', { message: 'slow', idempotencyKey: 'agent-key' })).toEqual(final.payload);
  expect(await last.call('agent.wait', { runId: 'agent-key' })).toMatchObject({ runId: 'agent-key', status: 'ok' });
  const history = await last.call('chat.history', { sessionKey: 'agent:main:keys' });
  expect(history.messages.map(({ role }: { role: string }) => role)).toEqual(['user', 'assistant']);
});

const sendParams = (chat: number, key: string) => ({ to: String(chat), message: 'once', channel: 'telegram', idempotencyKey: key });

/** Sends until the gateway that is to die is dead, then asks again in its next life. */
async function sendTwice(point: string, key: string) {
  const { bot } = world;
  const gateway = await doomed(point);
  await eventually(() => gateway.stdout().includes('Telegram online'), 'the account is online');
  const ann = bot.person();
  const client = await gateway.connect();
  client.send({ type: 'req', id: 's', method: 'send', params: sendParams(ann.id, key) });
  await gateway.exited;
  const again = await world.restart();
  await eventually(() => again.stdout().includes('Telegram online'), 'the account is online');
  const next = await again.connect();
  return { ann, again: next, response: await next.request('send', sendParams(ann.id, key)) };
}

it.each([
  ['before it leaves', 'key-inserted', sendAfterInsert],
  ['after it arrived', 'key-confirmed', (key: string) => sendTwice('outbox.confirmed', key)],
])('delivers a `send` once when it is killed %s and asked again', async (_when, key, killed) => {
  const { ann, again, response } = await killed(key);
  expect(response).toMatchObject({ ok: true, payload: { runId: key, channel: 'telegram', duplicate: true } });
  expect(ann.answers()).toEqual(['once']);
  expect(await again.call('send', sendParams(ann.id, key))).toEqual(response.payload);
  expect(ann.answers()).toEqual(['once']);
});

/** The row is on disk and nothing has left: the platform asked for a pause. */
async function sendAfterInsert(key: string) {
  const { telegram, bot } = world;
  await world.gateway.kill();
  const gateway = await world.restart();
  await eventually(() => gateway.stdout().includes('Telegram online'), 'the account is online');
  const ann = bot.person();
  telegram.fault({ method: 'sendMessage', kind: 'tooManyRequests', retryAfter: 1 });
  const client = await gateway.connect();
  client.send({ type: 'req', id: 's', method: 'send', params: sendParams(ann.id, key) });
  await eventually(
    () => stored(gateway, `SELECT state FROM outbox WHERE key = ? AND attempts = 1`, `send:${key}`)[0]?.state === 'queued',
    'it waits',
  );
  await gateway.kill();
  const again = await world.restart();
  await eventually(() => again.stdout().includes('Telegram online'), 'the account is online');
  const next = await again.connect();
  return { ann, again: next, response: await next.request('send', sendParams(ann.id, key)) };
}

it('says that nobody knows when a `send` was killed in the middle of its call, and never repeats it', async () => {
  const { telegram } = world;
  const { ann, again, response } = await sendTwice('outbox.sent', 'key-unknown');
  expect(response).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE', details: { outcome: 'unknown' } } });
  expect((await again.request('send', sendParams(ann.id, 'key-unknown'))).ok).toBe(false);
  await telegram.until(() => ann.answers().some((text) => text.includes('/resend')));
  expect(ann.answers().filter((text) => text === 'once')).toHaveLength(1);
});
