/** Requests and their answers (protocol 3 and 9.3), and the methods that tell how the gateway is (9.7). */
import { truncateSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Gateway, startGateway, temporaryHome, token } from '../support/gateway.ts';
import type { Frame, RawClient } from '../support/raw-client.ts';

let gateway: Gateway;
let admin: RawClient;
beforeAll(async () => {
  const home = temporaryHome();
  const script = join(home, 'script.json');
  await writeFile(script, JSON.stringify({ hang: [{ hang: true }], '*': [{ text: 'a ' }, { text: 'short ' }, { text: 'answer' }] }));
  gateway = await startGateway({
    home,
    config: {
      gateway: { mode: 'local', auth: { mode: 'token', token } },
      agents: { defaults: { model: `openclaw/script:${script}` } },
      channels: { whatsapp: { enabled: true } },
      commands: { restart: true },
    },
  });
  admin = await gateway.connect();
});
afterAll(() => gateway.close());

it('C-055 params may be null or absent, which both mean {}', async () => {
  for (const text of [
    '{"type":"req","id":"p1","method":"models.list","params":null}',
    '{"type":"req","id":"p2","method":"models.list"}',
    '{"type":"req","id":"p3","method":"models.list","params":{}}',
    '{"type":"req","id":"p4","method":"health","params":null}',
  ]) {
    admin.sendText(text);
    expect(await admin.response((JSON.parse(text) as { id: string }).id)).toMatchObject({ ok: true });
  }
  // Where something is required, null lacks it just as {} does.
  const [missing, none] = [await admin.request('agent.wait', {}), await admin.request('agent.wait', null)];
  expect(none.error).toEqual(missing.error);
});

it('C-057 an unknown parameter is named with its place', async () => {
  const { error } = await admin.request('models.list', { x: 1 });
  expect(error?.code).toBe('INVALID_REQUEST');
  expect(error?.message).toMatch(/^invalid models\.list params: at root: unexpected property 'x'$/);
});

it('C-058 health takes the timeout that the macOS app sends', async () => {
  expect((await admin.call('health', { timeout: 15_000 })).ok).toBe(true);
});

it('C-059 a fast answer does not wait for a slow one, and each carries its own id', async () => {
  await admin.call('chat.send', { sessionKey: 'hanging', message: 'hang', idempotencyKey: 'hanging' });
  admin.send({ type: 'req', id: 'slow', method: 'agent.wait', params: { runId: 'hanging', timeoutMs: 300 } });
  admin.send({ type: 'req', id: 'fast', method: 'health' });
  expect((await admin.response('slow')).payload).toMatchObject({ runId: 'hanging', status: 'timeout' });
  const order = admin.frames.filter(({ id }) => id === 'slow' || id === 'fast').map(({ id }) => id);
  expect(order).toEqual(['fast', 'slow']);
  await admin.call('chat.abort', { sessionKey: 'hanging' });
  expect((await admin.response('fast')).payload.ok).toBe(true);
});

it('C-068 a health event carries both counters and has the shape of the answer', async () => {
  const from = admin.frames.length;
  const answer = await admin.call('health', { probe: true });
  const event = await admin.find(({ event: name }) => name === 'health', undefined, from);
  expect(event.stateVersion).toEqual({ presence: expect.any(Number), health: expect.any(Number) });
  expect(shapeOf(event.payload)).toEqual(shapeOf(answer));
});

it('C-122 health says what the apps read, linkChannel included while nothing is linked', async () => {
  const health = await admin.call('health');
  expect(health.ok).toBe(true);
  expect(health.ts).toSatisfy(Number.isInteger);
  expect(health.durationMs).toSatisfy(Number.isInteger);
  expect(health.channels).toBeInstanceOf(Object);
  expect(health.channelOrder).toBeInstanceOf(Array);
  expect(health.sessions).toEqual({ path: expect.any(String), count: expect.any(Number), recent: expect.any(Array) });
  expect(health.linkChannel).toMatchObject({ id: 'whatsapp', label: 'WhatsApp', linked: false, authAgeMs: null });
  expect((await admin.call('status')).linkChannel).toEqual(health.linkChannel);
});

it('C-123 health is the kept copy until a probe looks again, which everybody hears of', async () => {
  const first = await admin.call('health', { probe: true });
  const again = await admin.call('health');
  expect(again.ts).toBe(first.ts);
  const versions = () => admin.events('health').map(({ stateVersion }) => stateVersion?.health ?? 0);
  const before = Math.max(...versions());
  const probed = await admin.call('health', { probe: true });
  expect(probed.ts).toBeGreaterThanOrEqual(first.ts);
  await admin.event('health', (_payload, { stateVersion }) => (stateVersion?.health ?? 0) > before);
  const client = await gateway.raw();
  expect((await client.hello()).payload.snapshot.stateVersion.health).toBeGreaterThan(before);
  client.close();
});

it('C-121 logs.tail goes on where it ended, and starts over when the file was cut', async () => {
  const first = await admin.call('logs.tail');
  expect(first.lines.length).toBeGreaterThan(0);
  expect(first.file).toMatch(/openclaw-.*\.log$/);
  // Something that is logged: a refused stranger.
  const stranger = await gateway.raw();
  stranger.sendText('no json');
  await stranger.closed;
  const second = await admin.call('logs.tail', { cursor: first.cursor });
  expect(second.reset).toBeUndefined();
  expect(second.lines).toHaveLength(1);
  expect(second.lines[0]).toContain('invalid JSON');
  expect(second.cursor).toBe(second.size);
  expect((await admin.call('logs.tail', { cursor: second.cursor })).lines).toEqual([]);
  truncateSync(first.file as string);
  const third = await admin.call('logs.tail', { cursor: second.cursor });
  expect(third.reset).toBe(true);
  expect(third.cursor).toBeLessThan(second.cursor as number);
});

it('C-054 C-149 whatever is asked, frames have no unknown member, no null in the envelope and no fraction', async () => {
  const client = await gateway.connect({ client: { displayName: 'whole numbers' } });
  const calls: [method: string, params?: unknown][] = [
    ['health', { probe: true }],
    ['status'],
    ['system-presence'],
    ['system-event', { text: 'Node: a · last input 5s ago', lastInputSeconds: 3.7, instanceId: 'beacon' }],
    ['system-event', { text: 'huge', lastInputSeconds: 1e300, instanceId: 'beacon-2' }],
    ['chat.history', { sessionKey: 'main' }],
    ['sessions.list'],
    ['models.list'],
    ['config.get'],
    ['logs.tail', { limit: 5 }],
    ['inspector.tree'],
    ['inspector.history', { limit: 50 }],
    ['agent.wait', { runId: 'none', timeoutMs: 0 }],
    ['no.such.method'],
    ['models.list', { x: 1 }],
    ['send', { to: 'x', message: 'x', channel: 'nope', idempotencyKey: 'n' }],
  ];
  for (const [method, params] of calls) await client.request(method, params);
  client.send({ type: 'req', id: 'run', method: 'agent', params: { message: 'hello', idempotencyKey: 'whole-numbers' } });
  const [, final] = await client.stages('run');
  expect(final.payload.status).toBe('ok');
  await client.call('chat.send', { sessionKey: 'main', message: 'hi', idempotencyKey: 'whole-numbers-2' });
  await client.event('chat', ({ runId, state }) => runId === 'whole-numbers-2' && state === 'final');
  await client.call('chat.history', { sessionKey: 'main' });
  await client.call('sessions.list');
  await client.call('status');
  const seen = new Set(client.frames.map(({ type, event }) => event ?? type));
  for (const kind of ['res', 'connect.challenge', 'presence', 'health', 'agent', 'chat']) expect(seen).toContain(kind);
  const members = { res: ['type', 'id', 'ok', 'payload', 'error'], event: ['type', 'event', 'payload', 'seq', 'stateVersion'] };
  for (const frame of client.frames) {
    expect(Object.keys(frame).filter((name) => !members[frame.type].includes(name))).toEqual([]);
    for (const name of ['error', 'seq', 'stateVersion', 'payload'] as const) {
      if (name in frame && !(name === 'payload' && frame.type === 'res')) expect(frame[name]).not.toBeNull();
    }
    if (frame.stateVersion) expect(Object.keys(frame.stateVersion).sort()).toEqual(['health', 'presence']);
    expect(numbersOf(frame).filter(([, value]) => !Number.isSafeInteger(value))).toEqual([]);
  }
  client.close();
});

it('C-060 seq rises by one with every broadcast for an admin that keeps up', async () => {
  const client = await gateway.connect();
  const other = await gateway.connect();
  for (let n = 0; n < 100; n += 1) await other.call('system-event', { text: `note ${n % 7}`, instanceId: `beacon-${n % 7}` });
  const last = await other.find(() => true, undefined, other.frames.length - 1);
  expect(last).toBeDefined();
  await client.find(({ seq }) => seq !== undefined && seqsOf(client).length >= 100);
  for (const reader of [client, other]) {
    const seqs = seqsOf(reader);
    expect(seqs.length).toBeGreaterThanOrEqual(100);
    expect(seqs).toEqual(seqs.map((_, index) => (seqs[0] as number) + index));
  }
  client.close();
  other.close();
});

it('C-069 nothing that was sent while a client was away is sent when it is back', async () => {
  const client = await gateway.connect({ client: { instanceId: 'traveller' } });
  client.close();
  await client.closed;
  await admin.call('system-event', { text: 'while you were away' });
  const missed = await admin.event('presence', ({ presence }) =>
    presence.some(({ text }: { text?: string }) => text === 'while you were away'),
  );
  const back = await gateway.connect({ client: { instanceId: 'traveller' } });
  await admin.call('system-event', { text: 'now you are here' });
  await back.event('presence', ({ presence }) => presence.some(({ text }: { text?: string }) => text === 'now you are here'));
  expect(seqsOf(back).every((seq) => seq > (missed.seq as number))).toBe(true);
  back.close();
});

const seqsOf = (client: RawClient) => client.frames.flatMap(({ seq }: Frame) => (seq === undefined ? [] : [seq]));

/** Every number of a value with the path to it. */
function numbersOf(value: unknown, path = ''): [path: string, value: number][] {
  if (typeof value === 'number') return [[path, value]];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => numbersOf(member, `${path}/${name}`));
}

/** Names and types, without the values. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shapeOf(member)]));
}
