import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { agentEvent, eventsOf, started, type Scripted, startScripted } from '../support/scripted.ts';
import type { Frame, RawClient } from '../support/raw-client.ts';
import { stored } from '../support/telegram-gateway.ts';

let world: Scripted;
let client: RawClient;
let other: RawClient;

const words = ['one ', 'two ', 'three ', 'four'];

const script = {
  slowly: [{ chunks: words, everyMs: 60 }],
  broken: [{ error: 'the model is not well' }],
  hang: [{ hang: true }],
  note: [{ text: 'I write that down.' }, { toolCall: { name: 'remember', arguments: { text: 'milk' } } }],
  '(tool result)': [{ text: 'written down' }],
};

beforeAll(async () => {
  world = await startScripted(script, { more: { agents: { list: [{ id: 'main', default: true }, { id: 'work' }] } } });
  [client, other] = await Promise.all([world.gateway.connect(), world.gateway.connect()]);
});
afterAll(() => world.close());

/** Asks for a run on a connection; its responses are found under the returned id. */
function ask(from: RawClient, params: Record<string, unknown>): { id: string; key: string } {
  const id = randomUUID();
  const key = (params['idempotencyKey'] as string | undefined) ?? randomUUID();
  from.send({ type: 'req', id, method: 'agent', params: { sessionKey: `s-${key}`, ...params, idempotencyKey: key } });
  return { id, key };
}
const responses = (from: RawClient, id: string): Frame[] => from.frames.filter((frame) => frame.id === id);
const runsOf = (key: string) => stored(world.gateway, 'SELECT * FROM runs WHERE run_id = ?', key);
/** A round trip: whatever was sent before has been read. */
const settledOn = (from: RawClient) => from.call('agent.wait', { runId: randomUUID(), timeoutMs: 0 });

it('C-095 answers a run twice under one id: accepted at once, ok with the result at its end', async () => {
  const before = Date.now();
  const { id, key } = ask(client, { message: 'hello' });
  const [ack, final] = await client.stages(id);
  expect(ack).toEqual({ type: 'res', id, ok: true, payload: { runId: key, status: 'accepted', acceptedAt: expect.any(Number) } });
  expect(ack.payload.acceptedAt).toBeGreaterThanOrEqual(before - 1_000);
  expect(final).toEqual({
    type: 'res',
    id,
    ok: true,
    payload: {
      runId: key,
      status: 'ok',
      summary: 'completed',
      result: { payloads: [{ text: 'you said: hello' }], meta: expect.objectContaining({ durationMs: expect.any(Number) }) },
    },
  });
  expect(final.payload.result.meta.agentMeta).toMatchObject({ provider: 'openclaw', model: 'script', sessionId: expect.any(String) });
});

it('C-096 answers a failing run with a payload and an error', async () => {
  const { id, key } = ask(client, { message: 'broken' });
  const [ack, final] = await client.stages(id);
  expect(ack.payload.status).toBe('accepted');
  expect(final).toEqual({
    type: 'res',
    id,
    ok: false,
    payload: { runId: key, status: 'error', summary: expect.any(String) },
    error: expect.objectContaining({ code: 'UNAVAILABLE', message: expect.any(String) }),
  });
});

it('C-097 ends a run that takes longer than its timeout with AGENT_TIMEOUT', async () => {
  const { id, key } = ask(client, { message: 'hang', timeout: 1 });
  const [, final] = await client.stages(id);
  expect(final.ok).toBe(false);
  expect(final.payload).toMatchObject({ runId: key, status: 'error' });
  expect(final.error?.code).toBe('AGENT_TIMEOUT');
});

it('A-015 ends a run whose model hangs with its timeout of one second, and answers the next message of the conversation at once', async () => {
  const sessionKey = 'hanging';
  const run = ask(client, { message: 'hang', timeout: 1, sessionKey });
  await started(client, run.key);
  const next = ask(client, { message: 'hello', sessionKey });
  const [, final] = await client.stages(run.id);
  expect(final).toMatchObject({ ok: false, error: { code: 'AGENT_TIMEOUT' } });
  expect((await client.stages(next.id))[1].ok).toBe(true);
  const timesOf = (key: string) => runsOf(key).map((row) => [Number(row['started_at']), Number(row['ended_at'])])[0] as [number, number];
  const [from, to] = timesOf(run.key);
  expect(to - from).toBeGreaterThanOrEqual(990);
  expect(to - from).toBeLessThanOrEqual(3_000);
  expect(timesOf(next.key)[0] - to).toBeLessThan(1_000);
});

it.each<[ending: string, message: string, ok: boolean]>([
  ['ok', 'again please', true],
  ['error', 'broken', false],
])('C-098 answers a finished key with its first final (%s), on every connection, and once', async (_ending, message, ok) => {
  const first = ask(client, { message });
  const [, final] = await client.stages(first.id);
  expect(final.ok).toBe(ok);
  for (const from of [client, other]) {
    const { id } = ask(from, { message: 'something else', idempotencyKey: first.key });
    const answer = await from.response(id);
    expect({ ...answer, id: first.id }).toEqual(final);
    await settledOn(from);
    expect(responses(from, id)).toHaveLength(1);
  }
  expect(runsOf(first.key)).toEqual([expect.objectContaining({ starts: 1 })]);
});

it('C-099 A-012 runs a key once that three clients send while it runs, and gives all of them the final', async () => {
  const third = await world.gateway.connect();
  const first = ask(client, { message: 'slowly' });
  await started(client, first.key);
  const repeats = [other, third].map((from) => ({ from, ...ask(from, { message: 'slowly', idempotencyKey: first.key }) }));
  const [ack, final] = await client.stages(first.id);
  for (const { from, id } of repeats) {
    const [ackAgain, finalAgain] = await from.stages(id);
    expect(ackAgain.payload).toEqual(ack.payload);
    expect({ ...finalAgain, id: first.id }).toEqual(final);
  }
  expect(final.payload.result.payloads).toEqual([{ text: words.join('') }]);
  // One model call: one start on disk, one question in the history.
  expect(runsOf(first.key)).toEqual([expect.objectContaining({ starts: 1 })]);
  const { messages } = await client.call('chat.history', { sessionKey: `s-${first.key}` });
  expect(messages.map(({ role }: { role: string }) => role)).toEqual(['user', 'assistant']);
  third.close();
});

it('A-012 makes one run of a key that three clients send at the very same moment', async () => {
  const key = randomUUID();
  const asked = [client, other, client].map((from) => ({ from, ...ask(from, { message: 'hello', idempotencyKey: key }) }));
  const finals = await Promise.all(asked.map(async ({ from, id }) => (await from.stages(id))[1]));
  expect(new Set(finals.map(({ payload }) => JSON.stringify(payload))).size).toBe(1);
  expect(runsOf(key)).toHaveLength(1);
  const { messages } = await client.call('chat.history', { sessionKey: `s-${key}` });
  expect(messages).toHaveLength(2);
});

it('C-100 refuses a bad address before acceptance and does not remember the refusal', async () => {
  const cases: [params: Record<string, unknown>, says: string][] = [
    [{ channel: 'nope' }, 'unknown channel'],
    [{ replyChannel: 'nope' }, 'unknown channel'],
    [{ agentId: 'nobody' }, 'unknown agent id'],
    [{ agentId: 'main', sessionKey: 'agent:work:main' }, 'does not match session key agent'],
  ];
  for (const [params, says] of cases) {
    const key = randomUUID();
    const refused = await client.request('agent', { message: 'hello', ...params, idempotencyKey: key });
    expect(refused).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
    expect(refused.error?.message).toContain(says);
    expect(runsOf(key)).toEqual([]);
    // The same key, asked properly, is a run like any other.
    const { id } = ask(client, { message: 'hello', idempotencyKey: key });
    const [ack, final] = await client.stages(id);
    expect([ack.payload.status, final.payload.status]).toEqual(['accepted', 'ok']);
  }
});

it('C-101 A-014 waits for a run and never ends it', async () => {
  const unknown = await client.request('agent.wait', { runId: 'never heard of', timeoutMs: 30 });
  expect(unknown).toMatchObject({ ok: true, payload: { runId: 'never heard of', status: 'timeout' } });

  const run = ask(client, { message: 'slowly' });
  await started(client, run.key);
  // Polls and short waits of another connection leave it alone.
  expect(await other.call('agent.wait', { runId: run.key, timeoutMs: 0 })).toEqual({ runId: run.key, status: 'timeout' });
  expect(await other.call('agent.wait', { runId: run.key, timeoutMs: 1 })).toEqual({ runId: run.key, status: 'timeout' });
  const during = await other.call('agent.wait', { runId: run.key });
  const ended = { runId: run.key, status: 'ok', startedAt: expect.any(Number), endedAt: expect.any(Number) };
  expect(during).toEqual(ended);
  const [, final] = await client.stages(run.id);
  expect(final.payload.result.payloads).toEqual([{ text: words.join('') }]);
  expect(await client.call('agent.wait', { runId: run.key, timeoutMs: 0 })).toEqual(during);

  const failing = ask(client, { message: 'broken' });
  await client.stages(failing.id);
  expect(await client.call('agent.wait', { runId: failing.key, timeoutMs: 0 })).toEqual({
    ...ended,
    runId: failing.key,
    status: 'error',
    error: expect.any(String),
  });
});

it('C-102 numbers the events of a run from one and says of which conversation they are', async () => {
  const { id, key } = ask(client, { message: 'slowly', sessionKey: 'Seen-As-Written' });
  await client.stages(id);
  const frames = eventsOf(client, key, 'agent');
  expect(frames.map(({ payload }) => payload.seq)).toEqual(frames.map((_, index) => index + 1));
  for (const { seq, payload } of frames) {
    expect(seq).toEqual(expect.any(Number));
    expect(payload).toMatchObject({
      runId: key,
      stream: expect.any(String),
      ts: expect.any(Number),
      data: expect.any(Object),
      sessionKey: 'Seen-As-Written',
    });
  }
  expect(frames.map(({ payload }) => payload.stream)).toEqual(['lifecycle', ...frames.slice(2).map(() => 'assistant'), 'lifecycle']);
  const envelopes = client.frames.flatMap(({ type, seq }) => (type === 'event' && seq !== undefined ? [seq] : []));
  expect(envelopes).toEqual([...envelopes].sort((a, b) => a - b));
});

it('C-160 gives the asking connection all events of its run between the acknowledgement and the final', async () => {
  for (const message of ['slowly', 'hello', 'broken', 'note']) {
    const { id, key } = ask(client, { message });
    await client.stages(id);
    await settledOn(client);
    const order = client.frames.flatMap((frame, index) => (frame.id === id || frame.payload?.runId === key ? [{ frame, index }] : []));
    const own = order.map(({ frame }) => (frame.type === 'res' ? 'res' : frame.event));
    expect(own[0]).toBe('res');
    expect(own.at(-1)).toBe('res');
    expect(own.filter((kind) => kind === 'res')).toHaveLength(2);
    expect(own.filter((kind) => kind === 'agent').length).toBeGreaterThanOrEqual(2);
    // The other connection saw the very same events.
    expect(eventsOf(other, key).map(({ payload }) => payload)).toEqual(eventsOf(client, key).map(({ payload }) => payload));
  }
});

it('A-011 C-103 sends tool events with verbose on and full only; without them their numbers are missing and nothing says so', async () => {
  const { id, key } = ask(client, { message: 'note' });
  await client.stages(id);
  const frames = eventsOf(client, key, 'agent');
  expect(frames.map(({ payload }) => payload.stream)).toEqual(['lifecycle', 'assistant', 'assistant', 'lifecycle']);
  // The two tool events took numbers 3 and 4.
  expect(frames.map(({ payload }) => payload.seq)).toEqual([1, 2, 5, 6]);

  for (const verboseDefault of ['on', 'full']) {
    const verbose = await startScripted(script, { agents: { verboseDefault } });
    try {
      const watcher = await verbose.gateway.connect();
      const run = ask(watcher, { message: 'note' });
      await watcher.stages(run.id);
      const all = eventsOf(watcher, run.key, 'agent').map(({ payload }) => payload);
      expect(all.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
      const call = { name: 'remember', toolCallId: expect.any(String) };
      expect(all[2]).toMatchObject({ stream: 'tool', data: { phase: 'start', ...call, args: { text: 'milk' } } });
      expect(all[3]).toMatchObject({ stream: 'tool', data: { phase: 'result', ...call, isError: false, result: expect.any(String) } });
    } finally {
      await verbose.close();
    }
  }
});

it('A-010 gives each assistant message as the sum of its deltas', async () => {
  for (const message of ['slowly', 'note']) {
    const { id, key } = ask(client, { message });
    await client.stages(id);
    let text = '';
    for (const { data } of eventsOf(client, key, 'agent').flatMap(({ payload }) => (payload.stream === 'assistant' ? [payload] : []))) {
      text = data.text === data.delta ? data.delta : text + data.delta;
      expect(data.text).toBe(text);
    }
    expect(text).toBe(message === 'slowly' ? words.join('') : 'written down');
  }
});

it('a run goes on although the connection that asked for it is gone, also when it was gone before the acknowledgement', async () => {
  const leaving = await world.gateway.connect();
  const { key } = ask(leaving, { message: 'hello' });
  leaving.ws.terminate();
  await agentEvent(client, key, ({ data }) => data.phase === 'end');
  expect(await client.call('agent.wait', { runId: key })).toMatchObject({ status: 'ok' });
});
