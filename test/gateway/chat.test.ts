import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chatEnd, eventOf, eventsOf, started, type Scripted, startScripted } from '../support/scripted.ts';
import type { RawClient } from '../support/raw-client.ts';
import { stored } from '../support/telegram-gateway.ts';

let world: Scripted;
let client: RawClient;

const words = Array.from({ length: 20 }, (_, index) => `word${index} `);

beforeAll(async () => {
  world = await startScripted({
    slowly: [{ chunks: words, everyMs: 30 }],
    hang: [{ hang: true }],
    'say and hang': [{ text: 'a beginning' }, { hang: true }],
    broken: [{ error: 'the model is not well' }],
  });
  client = await world.gateway.connect();
});
afterAll(() => world.close());

const send = (params: Record<string, unknown>) =>
  client.request('chat.send', { sessionKey: 'main', idempotencyKey: randomUUID(), ...params });
const chatOf = (key: string) => eventsOf(client, key, 'chat').map(({ payload }) => payload);
const runsOf = (key: string) => stored(world.gateway, 'SELECT * FROM runs WHERE run_id = ?', key);
const terminal = (key: string) => chatOf(key).filter(({ state }) => state !== 'delta');

/** Begins a run that is going on when this returns. */
async function begun(message: string, sessionKey: string): Promise<string> {
  const key = randomUUID();
  expect((await send({ message, sessionKey, idempotencyKey: key })).payload).toEqual({ runId: key, status: 'started' });
  await started(client, key);
  return key;
}

/** A whole turn of the same conversation: whatever an earlier run would still have said has been said. */
async function anotherTurn(sessionKey: string): Promise<void> {
  const key = randomUUID();
  await send({ message: 'next', sessionKey, idempotencyKey: key });
  expect((await chatEnd(client, key)).payload.state).toBe('final');
}

it('C-104 answers started, in_flight while it runs, and ok after its end', async () => {
  const key = await begun('slowly', 'same-key');
  const again = { message: 'slowly', sessionKey: 'same-key', idempotencyKey: key };
  expect((await send(again)).payload).toEqual({ runId: key, status: 'in_flight' });
  await chatEnd(client, key);
  expect((await send(again)).payload).toEqual({ runId: key, status: 'ok' });
  expect(runsOf(key)).toEqual([expect.objectContaining({ starts: 1 })]);
  expect(terminal(key)).toHaveLength(1);
});

it('answers the key of a failed run with its error and what it says', async () => {
  const key = await begun('broken', 'failing');
  await chatEnd(client, key);
  const again = await send({ message: 'broken', sessionKey: 'failing', idempotencyKey: key });
  expect(again.payload).toEqual({ runId: key, status: 'error', summary: expect.any(String) });
});

it('C-105 refuses a chat that says nothing, and takes one that only shows something', async () => {
  for (const message of ['', '  \n ']) {
    const refused = await send({ message });
    expect(refused).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST', message: 'message or attachment required' } });
  }
  const key = randomUUID();
  const attachments = [{ type: 'image', mimeType: 'image/png', content: Buffer.from('a picture').toString('base64') }];
  expect((await send({ message: '', attachments, idempotencyKey: key })).payload).toEqual({ runId: key, status: 'started' });
  expect((await chatEnd(client, key)).payload.state).toBe('final');
});

it('C-106 spells the session key in events as the client did', async () => {
  for (const sessionKey of ['main', 'Agent:MAIN:Main', ' Spaced ']) {
    const key = randomUUID();
    await send({ message: 'hello', sessionKey, idempotencyKey: key });
    await chatEnd(client, key);
    const events = eventsOf(client, key);
    expect(new Set(events.map(({ event }) => event))).toEqual(new Set(['agent', 'chat']));
    expect(new Set(events.map(({ payload }) => payload.sessionKey))).toEqual(new Set([sessionKey]));
  }
});

it('C-107 sends the whole text with each delta, at most one in 150 ms, and ends a run exactly once', async () => {
  const key = await begun('slowly', 'deltas');
  await chatEnd(client, key);
  await anotherTurn('deltas');
  const events = chatOf(key);
  const deltas = events.filter(({ state }) => state === 'delta');
  expect(deltas.length).toBeGreaterThanOrEqual(2);
  const texts = deltas.map(({ message }) => message.content[0].text as string);
  const whole = words.join('');
  texts.forEach((text, index) => {
    expect(whole.startsWith(text)).toBe(true);
    if (index > 0) expect(text.length).toBeGreaterThan((texts[index - 1] as string).length);
  });
  const moments = deltas.map(({ message }) => message.timestamp as number);
  for (let index = 1; index < moments.length; index += 1)
    expect((moments[index] as number) - (moments[index - 1] as number)).toBeGreaterThanOrEqual(150);
  expect(terminal(key)).toEqual([expect.objectContaining({ state: 'final' })]);
  expect(terminal(key)[0].message.content).toEqual([{ type: 'text', text: whole }]);
});

it.each([
  ['final', 'hello'],
  ['error', 'broken'],
])('C-107 ends a run exactly once: %s', async (state, message) => {
  const key = await begun(message, 'once');
  await chatEnd(client, key);
  await anotherTurn('once');
  expect(terminal(key).map((event) => event.state)).toEqual([state]);
  if (state === 'error') expect(terminal(key)[0].errorMessage).toEqual(expect.any(String));
});

it('C-108 aborts a conversation: says which runs, tells everybody, and nothing comes after it', async () => {
  const watcher = await world.gateway.connect();
  const key = await begun('slowly', 'to-abort');
  await client.find((frame) => eventOf(key, 'chat')(frame) && frame.payload.state === 'delta');
  const answer = await client.call('chat.abort', { sessionKey: 'to-abort' });
  expect(answer).toEqual({ ok: true, aborted: true, runIds: [key] });
  for (const seen of [client, watcher]) {
    const end = await chatEnd(seen, key);
    expect(end.payload).toMatchObject({ runId: key, sessionKey: 'to-abort', state: 'aborted', stopReason: 'rpc' });
    expect(end.payload).not.toHaveProperty('message');
  }
  await anotherTurn('to-abort');
  const events = eventsOf(client, key);
  expect(events.at(-1)?.payload.state).toBe('aborted');
  expect(terminal(key)).toHaveLength(1);
  const lifecycle = eventsOf(client, key, 'agent').filter(({ payload }) => payload.stream === 'lifecycle');
  expect(lifecycle.map(({ payload }) => payload.data.phase)).toEqual(['start', 'end']);
  expect(lifecycle[1]?.payload.data.aborted).toBe(true);
  // What was said so far stays, marked as cut short.
  const { messages } = await client.call('chat.history', { sessionKey: 'to-abort' });
  expect(messages[1]).toMatchObject({ role: 'assistant', stopReason: 'aborted', runId: key });
  watcher.close();
});

it('C-108 aborts what waits behind the run as well, and each of them ends once', async () => {
  const running = await begun('hang', 'queue');
  const waiting = [randomUUID(), randomUUID()];
  for (const key of waiting) await send({ message: 'hello', sessionKey: 'queue', idempotencyKey: key });
  const { runIds } = await client.call('chat.abort', { sessionKey: 'queue' });
  expect([...runIds].sort()).toEqual([running, ...waiting].sort());
  for (const key of [running, ...waiting])
    expect((await chatEnd(client, key)).payload).toMatchObject({ state: 'aborted', stopReason: 'rpc' });
  await anotherTurn('queue');
  for (const key of [running, ...waiting]) expect(terminal(key)).toHaveLength(1);
});

it('C-108 F-20 an abort that follows a message without waiting for its answer still finds its run', async () => {
  for (let round = 0; round < 20; round += 1) {
    const key = randomUUID();
    const named = round % 2 === 0 ? { runId: key } : {};
    client.send({
      type: 'req',
      id: `send-${key}`,
      method: 'chat.send',
      params: { sessionKey: 'hasty', message: 'hang', idempotencyKey: key },
    });
    client.send({ type: 'req', id: `abort-${key}`, method: 'chat.abort', params: { sessionKey: 'hasty', ...named } });
    expect((await client.response(`abort-${key}`)).payload).toEqual({ ok: true, aborted: true, runIds: [key] });
    expect((await client.response(`send-${key}`)).payload).toEqual({ runId: key, status: 'started' });
    expect((await chatEnd(client, key)).payload).toMatchObject({ state: 'aborted', stopReason: 'rpc' });
  }
});

it('C-109 refuses to abort a run in the name of another conversation, and knows nothing of unknown ones', async () => {
  const key = await begun('hang', 'here');
  const refused = await client.request('chat.abort', { sessionKey: 'elsewhere', runId: key });
  expect(refused).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST', message: 'runId does not match sessionKey' } });
  expect(await client.call('chat.abort', { sessionKey: 'here', runId: 'never heard of' })).toEqual({
    ok: true,
    aborted: false,
    runIds: [],
  });
  expect(await client.call('agent.wait', { runId: key, timeoutMs: 0 })).toMatchObject({ status: 'timeout' });
  expect(await client.call('chat.abort', { sessionKey: 'here', runId: key })).toEqual({ ok: true, aborted: true, runIds: [key] });
  expect((await chatEnd(client, key)).payload.state).toBe('aborted');
});

it.each(['/stop', 'stop', ' STOP ', 'esc', 'ABORT', 'wait', ' exit ', 'Interrupt'])(
  'C-110 A-019 takes %j as an order to stop, not as something to answer',
  async (phrase) => {
    const key = await begun('hang', 'stopping');
    const own = randomUUID();
    const answer = await send({ message: phrase, sessionKey: 'stopping', idempotencyKey: own });
    expect(answer.payload).toEqual({ ok: true, aborted: true, runIds: [key], runId: own, status: 'ok' });
    expect((await chatEnd(client, key)).payload).toMatchObject({ state: 'aborted', stopReason: 'stop' });
    expect(runsOf(own)).toEqual([]);
    const idle = await send({ message: phrase, sessionKey: 'stopping', idempotencyKey: own });
    expect(idle.payload).toEqual({ ok: true, aborted: false, runIds: [], runId: own, status: 'ok' });
    expect(eventsOf(client, own)).toEqual([]);
  },
);

it('A-019 takes a sentence that only begins with a stop word as a sentence', async () => {
  const key = await begun('stop it', 'sentence');
  const end = await chatEnd(client, key);
  expect(end.payload.message.content).toEqual([{ type: 'text', text: 'you said: stop it' }]);
});

it('C-111 shows the newest 200 of 300 messages in order, and refuses to show more than 1000', async () => {
  const keys = Array.from({ length: 150 }, () => randomUUID());
  for (const [index, key] of keys.entries()) await send({ message: `m${index}`, sessionKey: 'long', idempotencyKey: key });
  await chatEnd(client, keys.at(-1) as string);
  const all = Array.from({ length: 150 }, (_, index) => [`m${index}`, `you said: m${index}`]).flat();
  const textsOf = async (limit?: number) => {
    const { messages } = await client.call('chat.history', { sessionKey: 'long', ...(limit === undefined ? {} : { limit }) });
    return messages.map(({ content }: { content: { text: string }[] }) => content[0]?.text);
  };
  expect(await textsOf()).toEqual(all.slice(-200));
  expect(await textsOf(1_000)).toEqual(all);
  expect(await client.request('chat.history', { sessionKey: 'long', limit: 1_001 })).toMatchObject({
    ok: false,
    error: { code: 'INVALID_REQUEST' },
  });
  expect((await client.call('chat.history', { sessionKey: 'nobody was here' })).messages).toEqual([]);
});

it('C-114 refuses too large an attachment, takes a data URL, and runs without one that is no picture', async () => {
  const encoded = (bytes: number) => Buffer.alloc(bytes, 7).toString('base64');
  for (const content of [encoded(5_000_001), `data:image/png;base64,${encoded(5_000_001)}`, 'no base64!', '']) {
    expect(await send({ message: 'look', attachments: [{ mimeType: 'image/png', content }] })).toMatchObject({
      ok: false,
      error: { code: 'INVALID_REQUEST' },
    });
  }
  const good = [
    [{ mimeType: 'image/png', content: encoded(5_000_000) }],
    [{ content: `data:image/png;base64,${encoded(100)}` }],
    [{ mimeType: 'application/pdf', fileName: 'a.pdf', content: encoded(100) }],
  ];
  for (const attachments of good) {
    const key = randomUUID();
    expect((await send({ message: 'look', attachments, idempotencyKey: key })).payload).toEqual({ runId: key, status: 'started' });
    expect((await chatEnd(client, key)).payload.message.content).toEqual([{ type: 'text', text: 'you said: look' }]);
  }
});
