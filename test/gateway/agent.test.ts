import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defaultConfig, type Gateway, startGateway, temporaryHome } from '../support/gateway.ts';
import type { RawClient } from '../support/raw-client.ts';

const home = temporaryHome();
const script = join(home, 'script.json');
let gateway: Gateway;
let client: RawClient;
let other: RawClient;
let count = 0;
const nextKey = () => `key-${++count}`;

beforeAll(async () => {
  writeFileSync(
    script,
    JSON.stringify({
      hang: [{ hang: true }],
      fail: [{ error: 'the model broke' }],
      slow: [{ chunks: ['one ', 'two ', 'three ', 'four'], everyMs: 120 }],
      short: [{ delayMs: 100 }, { text: 'done' }],
      '*': [{ text: 'hello there' }],
    }),
  );
  gateway = await startGateway({ home, config: { ...defaultConfig, agents: { defaults: { model: `openclaw/script:${script}` } } } });
  client = await gateway.connect();
  other = await gateway.connect();
});
afterAll(() => gateway.close());

const ask = (from: RawClient, id: string, message: string, key = id, more: object = {}) =>
  from.send({ type: 'req', id, method: 'agent', params: { message, idempotencyKey: key, ...more } });
const chat = (message: string, key: string, sessionKey: string, more: object = {}) =>
  client.request('chat.send', { sessionKey, message, idempotencyKey: key, ...more });
const agentEvents = (from: RawClient, runId: string) => from.events('agent').filter(({ payload }) => payload.runId === runId);
const chatEvents = (runId: string) => client.events('chat').filter(({ payload }) => payload.runId === runId);
const chatEnd = (runId: string) => client.event('chat', (payload) => payload.runId === runId && payload.state !== 'delta');
const running = (runId: string) => client.event('agent', (payload) => payload.runId === runId && payload.data.phase === 'start');

it('C-095 answers with an acknowledgement and then with the result under one id', async () => {
  const key = nextKey();
  ask(client, 'request-95', 'hi', key);
  const [ack, final] = await client.stages('request-95');
  expect(ack).toMatchObject({ ok: true, payload: { runId: key, status: 'accepted', acceptedAt: expect.any(Number) } });
  expect(final).toMatchObject({ ok: true, payload: { runId: key, status: 'ok', summary: 'completed' } });
});

it('C-096 tells a failing run from a good one in payload and error', async () => {
  const key = nextKey();
  ask(client, key, 'fail');
  const [, final] = await client.stages(key);
  expect(final).toMatchObject({ ok: false, payload: { runId: key, status: 'error' }, error: { code: 'UNAVAILABLE' } });
});

it('C-097 A-015 ends a run that takes longer than its timeout and lets the next one start at once', async () => {
  const [late, next] = [nextKey(), nextKey()];
  const from = performance.now();
  ask(client, late, 'hang', late, { timeout: 1, sessionKey: 'late' });
  ask(client, next, 'hi', next, { sessionKey: 'late' });
  const [, final] = await client.stages(late);
  expect(final).toMatchObject({ ok: false, payload: { status: 'error' }, error: { code: 'AGENT_TIMEOUT' } });
  expect(performance.now() - from).toBeLessThan(3_000);
  const [, after] = await client.stages(next);
  expect(after).toMatchObject({ ok: true });
});

it('does not mistake a very long timeout for none', async () => {
  const key = nextKey();
  ask(client, key, 'short', key, { timeout: 3_000_000 });
  const [, final] = await client.stages(key);
  expect(final).toMatchObject({ ok: true });
});

it('C-098 replays the final of a run that has ended, also to another connection', async () => {
  const key = nextKey();
  ask(client, key, 'hi');
  const [, final] = await client.stages(key);
  ask(other, 'again-98', 'something else', key);
  expect(await other.response('again-98')).toEqual({ ...final, id: 'again-98' });
  ask(client, 'again-98b', 'hi', key);
  expect((await client.response('again-98b')).payload).toEqual(final.payload);
});

it('C-099 gives a second request of a running key its own acknowledgement and final, for one run', async () => {
  const key = nextKey();
  ask(client, 'first-99', 'slow', key);
  await running(key);
  ask(other, 'second-99', 'slow', key);
  const [ack, final] = await other.stages('second-99');
  const [, first] = await client.stages('first-99');
  expect(ack.payload.status).toBe('accepted');
  expect(final.payload).toEqual(first.payload);
  expect(agentEvents(client, key).filter(({ payload }) => payload.data.phase === 'start')).toHaveLength(1);
});

it('C-100 refuses a channel, an agent and a session key that do not fit, and remembers none of it', async () => {
  const key = nextKey();
  for (const [more, words] of [
    [{ channel: 'nope' }, 'unknown channel'],
    [{ agentId: 'ghost' }, 'unknown agent id'],
    [{ agentId: 'main', sessionKey: 'agent:other:main' }, 'does not match session key agent'],
  ] as const) {
    const answer = await client.request('agent', { message: 'hi', idempotencyKey: key, ...more });
    expect(answer).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST', message: expect.stringContaining(words) } });
  }
  ask(client, key, 'hi');
  expect((await client.stages(key))[1]).toMatchObject({ ok: true });
});

it('C-101 A-014 waits for runs without ending them', async () => {
  expect(await client.call('agent.wait', { runId: 'nobody', timeoutMs: 30 })).toEqual({ runId: 'nobody', status: 'timeout' });
  const [good, bad, slow] = [nextKey(), nextKey(), nextKey()];
  ask(client, good, 'hi');
  ask(client, bad, 'fail');
  await client.stages(good);
  await client.stages(bad);
  expect(await client.call('agent.wait', { runId: good, timeoutMs: 0 })).toMatchObject({ runId: good, status: 'ok' });
  expect(await client.call('agent.wait', { runId: bad, timeoutMs: 0 })).toMatchObject({ status: 'error', error: 'the model broke' });
  ask(client, slow, 'slow', slow, { sessionKey: 'waited' });
  await running(slow);
  expect(await client.call('agent.wait', { runId: slow, timeoutMs: 1 })).toEqual({ runId: slow, status: 'timeout' });
  expect(await client.call('agent.wait', { runId: slow })).toMatchObject({ runId: slow, status: 'ok', endedAt: expect.any(Number) });
});

it('C-102 C-160 A-010 sends numbered events between the acknowledgement and the final', async () => {
  const key = nextKey();
  ask(client, key, 'slow', key, { sessionKey: 'Main' });
  const [ack, final] = await client.stages(key);
  const events = agentEvents(client, key);
  expect(events.map(({ payload }) => payload.seq)).toEqual(events.map((_, index) => index + 1));
  for (const { seq, payload } of events) {
    expect(seq).toEqual(expect.any(Number));
    expect(payload).toMatchObject({ stream: expect.any(String), ts: expect.any(Number), data: expect.any(Object), sessionKey: 'Main' });
  }
  const places = events.map((event) => client.frames.indexOf(event));
  expect(Math.min(...places)).toBeGreaterThan(client.frames.indexOf(ack));
  expect(Math.max(...places)).toBeLessThan(client.frames.indexOf(final));
  let text = '';
  for (const { payload } of events.filter(({ payload: { stream } }) => stream === 'assistant')) {
    text += payload.data.delta;
    expect(payload.data.text).toBe(text);
  }
  expect(text).toBe('one two three four');
});

it('C-104 C-106 C-107 says started, in_flight and ok, in events that carry the key as it was written', async () => {
  const key = nextKey();
  expect((await chat('slow', key, 'main')).payload).toEqual({ runId: key, status: 'started' });
  expect((await chat('slow', key, 'main')).payload).toEqual({ runId: key, status: 'in_flight' });
  await chatEnd(key);
  expect((await chat('slow', key, 'main')).payload).toEqual({ runId: key, status: 'ok' });
  const events = chatEvents(key);
  expect(new Set(events.map(({ payload }) => payload.sessionKey))).toEqual(new Set(['main']));
  const deltas = events.filter(({ payload }) => payload.state === 'delta').map(({ payload }) => payload.message);
  expect(deltas.length).toBeGreaterThan(1);
  for (const [index, { content, timestamp }] of deltas.entries()) {
    expect('one two three four'.startsWith(content[0].text)).toBe(true);
    if (index > 0) expect(timestamp - deltas[index - 1].timestamp).toBeGreaterThanOrEqual(150);
  }
  expect(events.filter(({ payload }) => payload.state !== 'delta').map(({ payload }) => payload.state)).toEqual(['final']);
});

it('C-105 wants a message or an attachment', async () => {
  expect((await chat(' ', nextKey(), 'main')).error).toMatchObject({
    code: 'INVALID_REQUEST',
    message: expect.stringContaining('message or attachment required'),
  });
  const content = Buffer.from('picture').toString('base64');
  const key = nextKey();
  expect((await chat('', key, 'main', { attachments: [{ mimeType: 'image/png', content }] })).payload).toMatchObject({ status: 'started' });
  await chatEnd(key);
});

it('C-108 C-109 aborts what a conversation does and says nothing more of it', async () => {
  const key = nextKey();
  await chat('hang', key, 'aborted');
  await running(key);
  expect((await client.request('chat.abort', { sessionKey: 'elsewhere', runId: key })).error).toMatchObject({
    code: 'INVALID_REQUEST',
    message: expect.stringContaining('runId does not match sessionKey'),
  });
  expect(await client.call('chat.abort', { sessionKey: 'aborted', runId: 'nobody' })).toMatchObject({ ok: true, aborted: false });
  expect(await client.call('chat.abort', { sessionKey: 'aborted' })).toEqual({ ok: true, aborted: true, runIds: [key] });
  expect((await chatEnd(key)).payload).toMatchObject({ state: 'aborted', stopReason: 'rpc' });
  const next = nextKey();
  await chat('hi', next, 'aborted');
  await chatEnd(next);
  expect(chatEvents(key).at(-1)?.payload.state).toBe('aborted');
  expect(chatEvents(key).filter(({ payload }) => payload.state !== 'delta')).toHaveLength(1);
});

it('C-110 stops at a stop word and starts nothing', async () => {
  const [key, stop] = [nextKey(), nextKey()];
  await chat('hang', key, 'stopped');
  await running(key);
  const answer = await chat('/stop', stop, 'stopped');
  expect(answer.payload).toEqual({ ok: true, aborted: true, runIds: [key], runId: stop, status: 'ok' });
  expect((await chatEnd(key)).payload).toMatchObject({ state: 'aborted', stopReason: 'stop' });
  expect(await client.call('agent.wait', { runId: stop, timeoutMs: 0 })).toEqual({ runId: stop, status: 'timeout' });
});

it('runs once for three clients with one key', async () => {
  const key = nextKey();
  const third = await gateway.connect();
  for (const from of [client, other, third]) ask(from, 'shared-12', 'slow', key);
  const finals = await Promise.all([client, other, third].map(async (from) => (await from.stages('shared-12'))[1].payload));
  expect(finals[1]).toEqual(finals[0]);
  expect(finals[2]).toEqual(finals[0]);
  expect(agentEvents(client, key).filter(({ payload }) => payload.data.phase === 'start')).toHaveLength(1);
  third.close();
});

it('answers a known key after a kill with the stored final, and begins what was still waiting', async () => {
  const [key, hanging, waiting] = [nextKey(), nextKey(), nextKey()];
  ask(client, key, 'hi');
  const [, final] = await client.stages(key);
  ask(client, hanging, 'short', hanging, { sessionKey: 'held' });
  ask(client, waiting, 'hi', waiting, { sessionKey: 'held' });
  await client.response(waiting);
  await gateway.kill();
  gateway = await gateway.again();
  client = await gateway.connect();
  ask(client, 'restored', 'hi', key);
  expect((await client.response('restored')).payload).toEqual(final.payload);
  expect(agentEvents(client, key)).toEqual([]);
  expect(await client.call('agent.wait', { runId: waiting })).toMatchObject({ status: 'ok' });
});
