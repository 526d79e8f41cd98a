/** Nodes: who is one, what it may be asked, and what becomes of what it was asked (protocol 7.1 to 7.5 and 9.8). */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultConfig, type Gateway, startGateway } from '../support/gateway.ts';
import type { Frame, RawClient } from '../support/raw-client.ts';
import { chatEnd, eventsOf, startScripted } from '../support/scripted.ts';

const withNodes = (nodes: object, more: object = {}) => ({ ...defaultConfig, gateway: { ...defaultConfig.gateway, ...more, nodes } });

let gateway: Gateway;
let operator: RawClient;
beforeAll(async () => {
  gateway = await startGateway({ config: withNodes({ allowCommands: ['x.y', 'camera.snap'], denyCommands: ['camera.snap'] }) });
  operator = await gateway.connect();
});
afterAll(() => gateway.close());

interface NodeOptions {
  at?: Gateway;
  client?: object;
  [more: string]: unknown;
}

/** A node of its own, which declares what a phone declares. */
function connectNode(instanceId: string, { at = gateway, client, ...more }: NodeOptions = {}): Promise<RawClient> {
  const about = { id: 'openclaw-ios', mode: 'node', platform: 'iOS 18.1', instanceId, ...client };
  return at.connect({ role: 'node', commands: ['canvas.snapshot', 'location.get'], ...more, client: about });
}

const invoke = (nodeId: string, command = 'canvas.snapshot', more: object = {}, by = operator) =>
  by.request('node.invoke', { nodeId, command, idempotencyKey: randomUUID(), ...more });
const asked = (node: RawClient, command = 'canvas.snapshot') => node.event('node.invoke.request', (payload) => payload.command === command);
const answer = (node: RawClient, { payload }: Frame, result: object) =>
  node.request('node.invoke.result', { id: payload.id, nodeId: payload.nodeId, ok: true, ...result });
const infoOf = (nodeId: string, by = operator) => by.call('node.describe', { nodeId });
const nodes = async () => (await operator.call('node.list')).nodes as Record<string, unknown>[];
const isConnected = async (nodeId: string) => (await nodes()).some((node) => node['nodeId'] === nodeId && node['connected'] === true);

describe('what a node declares', () => {
  it('C-125 an iOS node is listed with the commands of its platform only, each once and sorted', async () => {
    await connectNode('phone', {
      client: { displayName: 'Phone', deviceFamily: 'iPhone', modelIdentifier: 'iPhone16,2' },
      caps: ['screen', 'canvas', 'screen'],
      commands: ['system.run', ' canvas.snapshot ', 'canvas.navigate', 'canvas.snapshot'],
      permissions: { camera: true, location: false },
      pathEnv: '/usr/bin',
    });
    const { ts, ...info } = await infoOf('phone');
    expect(info).toEqual({
      nodeId: 'phone',
      displayName: 'Phone',
      platform: 'iOS 18.1',
      version: '1',
      deviceFamily: 'iPhone',
      modelIdentifier: 'iPhone16,2',
      caps: ['canvas', 'screen'],
      commands: ['canvas.navigate', 'canvas.snapshot'],
      permissions: { camera: true, location: false },
      pathEnv: '/usr/bin',
      connectedAtMs: expect.any(Number),
      paired: false,
      connected: true,
    });
    expect(Number.isInteger(ts)).toBe(true);
    expect((await nodes()).find(({ nodeId }) => nodeId === 'phone')).toEqual(info);
  });

  it('C-126 an iPad is known by its device family', async () => {
    const client = { platform: 'iPadOS 18.1', deviceFamily: 'iPad' };
    await connectNode('pad', { client, commands: ['screen.record', 'sms.send', 'system.run'] });
    expect((await infoOf('pad')).commands).toEqual(['screen.record']);
  });

  it('C-127 the configuration adds commands and takes them away, and taking away wins', async () => {
    const node = await connectNode('added', { commands: ['x.y', 'camera.snap', 'camera.list'] });
    expect((await infoOf('added')).commands).toEqual(['camera.list', 'x.y']);
    expect((await invoke('added', 'camera.snap')).error?.details).toEqual({ reason: 'command not allowlisted', command: 'camera.snap' });
    const result = invoke('added', 'x.y');
    await answer(node, await asked(node, 'x.y'), { payload: 7 });
    expect((await result).payload).toMatchObject({ ok: true, command: 'x.y', payload: 7 });
  });

  it('D-32 two installations of one app are two nodes, and without an installation it is the app', async () => {
    await connectNode('first', { client: { id: 'node-host' } });
    await connectNode('second', { client: { id: 'node-host' } });
    await gateway.connect({ role: 'node', client: { id: 'node-host', mode: 'node' } });
    for (const nodeId of ['first', 'second', 'node-host']) expect(await isConnected(nodeId), nodeId).toBe(true);
  });

  it('an operator is no node, and a node that nobody knows is not described', async () => {
    await gateway.connect({ client: { instanceId: 'no-node' }, commands: ['canvas.snapshot'] });
    expect((await operator.request('node.describe', { nodeId: 'no-node' })).error).toMatchObject({
      code: 'INVALID_REQUEST',
      message: 'unknown nodeId',
    });
  });
});

describe('what a node is asked', () => {
  it('C-128 is checked in order, and the refusal says which rule it was', async () => {
    await connectNode('strict');
    await connectNode('mute', { commands: ['system.run'] });
    const reasons = [
      await invoke('strict', 'system.run'),
      await invoke('mute', 'system.run'),
      await invoke('mute'),
      await invoke('strict', 'canvas.hide'),
    ];
    expect(reasons.map(({ error }) => [error?.code, error?.message])).toEqual(
      reasons.map(() => ['INVALID_REQUEST', 'node command not allowed']),
    );
    expect(reasons.map(({ error }) => error?.details)).toEqual([
      { reason: 'command not allowlisted', command: 'system.run' },
      { reason: 'command not allowlisted', command: 'system.run' },
      { reason: 'node did not declare commands', command: 'canvas.snapshot' },
      { reason: 'command not declared by node', command: 'canvas.hide' },
    ]);
  });

  it('C-129 arrives without a number, and its answer goes back to the caller alone', async () => {
    const [node, other] = [await connectNode('round'), await connectNode('bystander')];
    const params = { format: 'png', nested: { quality: 0.5 } };
    const result = invoke('round', 'canvas.snapshot', { params, timeoutMs: 5_000, idempotencyKey: 'once' });
    const request = await asked(node);
    expect(request).not.toHaveProperty('seq');
    const { paramsJSON, ...payload } = request.payload;
    expect(JSON.parse(paramsJSON)).toEqual(params);
    expect(payload).toEqual({
      id: expect.any(String),
      nodeId: 'round',
      command: 'canvas.snapshot',
      timeoutMs: 5_000,
      idempotencyKey: 'once',
    });
    expect((await answer(node, request, { payloadJSON: '{"width":3}' })).payload).toEqual({ ok: true });
    expect((await result).payload).toEqual({
      ok: true,
      nodeId: 'round',
      command: 'canvas.snapshot',
      payload: { width: 3 },
      payloadJSON: '{"width":3}',
    });
    // Both had a turn by now.
    await Promise.all([other.call('skills.bins'), operator.call('health')]);
    for (const client of [other, operator]) expect(client.events('node.invoke.request')).toEqual([]);
  });

  it.each([
    ['C-130 nulls instead of nothing', { payloadJSON: null, error: null, payload: { a: 1 } }, { payload: { a: 1 }, payloadJSON: null }],
    ['C-130 nothing at all', {}, { payload: null, payloadJSON: null }],
    ['text that is no JSON', { payloadJSON: '{oops' }, { payload: { payloadJSON: '{oops' }, payloadJSON: '{oops' }],
    ['an object where the text belongs', { payloadJSON: { b: 2 } }, { payload: { b: 2 }, payloadJSON: null }],
  ])('may be answered with %s', async (what, result, expected) => {
    const node = await connectNode(what);
    const waiting = invoke(what);
    expect((await answer(node, await asked(node), result)).payload).toEqual({ ok: true });
    expect((await waiting).payload).toEqual({ ok: true, nodeId: what, command: 'canvas.snapshot', ...expected });
  });

  it('is refused with what the node says of its failure', async () => {
    const node = await connectNode('failing');
    const waiting = invoke('failing');
    const error = { code: 'NODE_BACKGROUND_UNAVAILABLE', message: 'the app is in the background' };
    await answer(node, await asked(node), { ok: false, error });
    const refused = await waiting;
    expect(refused.error).toEqual({ code: 'UNAVAILABLE', message: error.message, details: { nodeError: error } });
  });

  it('C-131 and not answered in time: the caller is told, and the late answer changes nothing', async () => {
    const node = await connectNode('silent');
    const refused = await invoke('silent', 'canvas.snapshot', { timeoutMs: 50 });
    expect(refused.error).toEqual({
      code: 'UNAVAILABLE',
      message: 'node invoke timed out',
      details: { nodeError: { code: 'TIMEOUT', message: 'node invoke timed out' } },
    });
    expect((await answer(node, await asked(node), {})).payload).toEqual({ ok: true, ignored: true });
  });

  it.each([
    ['the usual time', 0],
    ['as long as a timer can', 2 ** 40],
  ])('is waited for %s when the caller says %d', async (_howLong, timeoutMs) => {
    const node = await connectNode(`patient-${timeoutMs}`);
    const waiting = invoke(`patient-${timeoutMs}`, 'canvas.snapshot', { timeoutMs });
    const request = await asked(node);
    expect(request.payload).not.toHaveProperty('paramsJSON');
    await new Promise((resolve) => setTimeout(resolve, 100));
    await answer(node, request, { payload: 'there' });
    expect((await waiting).payload.payload).toBe('there');
  });

  it('C-132 and gone: the caller is told at once', async () => {
    const node = await connectNode('leaving');
    const waiting = invoke('leaving', 'canvas.snapshot', { timeoutMs: 60_000 });
    await asked(node);
    node.ws.terminate();
    const { error } = await waiting;
    expect(error).toMatchObject({ code: 'UNAVAILABLE', details: { nodeError: { code: 'NOT_CONNECTED' } } });
    expect(error?.message).toContain('node disconnected (canvas.snapshot)');
    // It may have been done: nobody is told that asking again is safe.
    expect(error).not.toHaveProperty('retryable');
  });

  it('C-133 of a node that is not there is safe to ask again', async () => {
    expect((await invoke('nowhere')).error).toEqual({
      code: 'UNAVAILABLE',
      message: 'node not connected',
      details: { code: 'NOT_CONNECTED' },
      retryable: true,
    });
  });

  it('C-134 reaches the newest connection, whichever of two closes first', async () => {
    const old = await connectNode('twice');
    const lost = invoke('twice', 'location.get');
    await asked(old, 'location.get');
    const young = await connectNode('twice');
    old.close();
    // What the old one was asked ended with it; the node itself is there.
    expect((await lost).error?.message).toContain('node disconnected');
    expect(await isConnected('twice')).toBe(true);
    const waiting = invoke('twice');
    await answer(young, await asked(young), {});
    expect((await waiting).ok).toBe(true);
    const third = await connectNode('twice');
    third.close();
    await third.closed;
    await expect.poll(async () => (await invoke('twice', 'location.get', { timeoutMs: 20 })).error?.message).toBe('node invoke timed out');
    expect(young.events('node.invoke.request').length).toBeGreaterThan(1);
  });

  it('C-135 is answered by that node alone', async () => {
    const [node, other] = [await connectNode('mine'), await connectNode('yours')];
    const waiting = invoke('mine');
    const request = await asked(node);
    const foreign = { id: request.payload.id, ok: true };
    expect((await other.request('node.invoke.result', { ...foreign, nodeId: 'mine' })).error).toMatchObject({
      code: 'INVALID_REQUEST',
      message: 'nodeId mismatch',
    });
    expect((await other.request('node.invoke.result', { ...foreign, nodeId: 'yours' })).payload).toEqual({ ok: true, ignored: true });
    await answer(node, request, { payload: 'mine' });
    expect((await waiting).payload.payload).toBe('mine');
  });

  it('is refused when the node has too much to answer, and accepted again when it has less', async () => {
    const node = await connectNode('busy');
    const waiting = Array.from({ length: 64 }, () => invoke('busy'));
    await expect.poll(() => node.events('node.invoke.request').length).toBe(64);
    const refused = await invoke('busy');
    expect(refused.error).toMatchObject({ code: 'UNAVAILABLE', message: 'too many commands wait for this node', retryable: true });
    await answer(node, node.events('node.invoke.request')[0] as Frame, {});
    expect((await Promise.race(waiting)).ok).toBe(true);
    const next = invoke('busy');
    await expect.poll(() => node.events('node.invoke.request').length).toBe(65);
    node.close();
    expect(new Set((await Promise.all([...waiting.slice(1), next])).map(({ error }) => error?.message))).toEqual(
      new Set(['node disconnected (canvas.snapshot)']),
    );
  });
});

it('C-155 the commands that are listed are those that are accepted, and a paired node that is away has all its fields', async () => {
  const declared = ['canvas.snapshot', 'camera.snap', 'camera.list', 'x.y', 'system.run', 'no.such'];
  const about = { deviceFamily: 'iPhone', modelIdentifier: 'iPhone16,2' };
  await connectNode('exact', { client: about, caps: ['canvas'], commands: declared });
  const { requestId } = (await operator.call('node.pair.request', { nodeId: 'away', ...about, caps: ['sms'], commands: ['sms.send'] }))
    .request;
  await operator.call('node.pair.approve', { requestId });
  const found = await nodes();
  const [here, away] = ['exact', 'away'].map((id) => found.find(({ nodeId }) => nodeId === id));
  expect(here).toMatchObject({ ...about, paired: false, connected: true, caps: ['canvas'] });
  expect(away).toEqual({ nodeId: 'away', ...about, paired: true, connected: false, caps: ['sms'], commands: ['sms.send'] });
  expect(await infoOf('away')).toMatchObject(away as object);
  const answers = await Promise.all(declared.map((command) => invoke('exact', command, { timeoutMs: 50 })));
  const accepted = declared.filter((_command, index) => answers[index]?.error?.message === 'node invoke timed out');
  expect(accepted.sort()).toEqual(here?.['commands']);
});

it('C-136 whatever a node tells is accepted, also with null for nothing', async () => {
  const node = await connectNode('teller');
  const given = [
    { event: 'x', payloadJSON: null },
    { event: 'x', payload: null },
    { event: 'chat.subscribe' },
    { event: 'chat.subscribe', payloadJSON: '{oops' },
    { event: 'chat.unsubscribe', payload: { sessionKey: 'x'.repeat(10_000) } },
    { event: 'voice.transcript', payload: { text: 'hello' } },
  ];
  for (const params of given) expect((await node.request('node.event', params)).payload, params.event).toEqual({ ok: true });
  expect((await node.request('node.event', { event: '' })).error?.code).toBe('INVALID_REQUEST');
});

it('lists connected nodes first, then by name whatever its case, then by id', async () => {
  const own = await startGateway();
  try {
    const client = await own.connect();
    for (const [id, displayName] of [
      ['c', 'beta'],
      ['b', 'Alpha'],
      ['a', 'Beta'],
      ['d', undefined],
    ] as const)
      await connectNode(id, { at: own, client: displayName === undefined ? {} : { displayName } });
    const { requestId } = (await client.call('node.pair.request', { nodeId: 'z', displayName: 'Aardvark' })).request;
    await client.call('node.pair.approve', { requestId });
    expect((await client.call('node.list')).nodes.map(({ nodeId }: { nodeId: string }) => nodeId)).toEqual(['b', 'a', 'c', 'd', 'z']);
  } finally {
    await own.close();
  }
});

it('a soft restart ends what waits for a node with an answer, and the node is there again when it comes back', async () => {
  const own = await startGateway();
  try {
    const client = await own.connect();
    const node = await connectNode('stays', { at: own });
    const waiting = invoke('stays', 'canvas.snapshot', { timeoutMs: 60_000 }, client);
    await asked(node);
    own.signal('SIGUSR1');
    const { error } = await waiting;
    expect(error).toMatchObject({ code: 'UNAVAILABLE', details: { nodeError: { code: 'NOT_CONNECTED' } } });
    expect(error?.message).toContain('node disconnected (canvas.snapshot)');
    expect((await client.closed).code).toBe(1012);
    await own.printed('ready again');
    const next = await own.connect();
    expect((await invoke('stays', 'canvas.snapshot', {}, next)).error?.message).toBe('node not connected');
    const back = await connectNode('stays', { at: own });
    const again = invoke('stays', 'canvas.snapshot', {}, next);
    await answer(back, await asked(back), {});
    expect((await again).ok).toBe(true);
  } finally {
    await own.close();
  }
});

it('a node that does not read is not sent any more, and the caller may ask again', async () => {
  const own = await startGateway({ config: withNodes({}, { maxBufferedBytes: 1_572_864 }) });
  try {
    const client = await own.connect();
    const node = await connectNode('stuck', { at: own });
    node.ws.pause();
    const params = 'x'.repeat(1_000_000);
    const waiting: Promise<Frame>[] = [];
    let refused: Frame | undefined;
    for (let count = 0; count < 40 && refused === undefined; count += 1) {
      const one = invoke('stuck', 'canvas.snapshot', { params, timeoutMs: 60_000 }, client);
      // A refusal may come a turn after the answer to what is asked right behind it, and no later.
      const later = client.call('health').then(() => client.call('health'));
      refused = await Promise.race([one, later.then(() => undefined)]);
      waiting.push(one);
    }
    expect(refused?.error).toMatchObject({ code: 'UNAVAILABLE', retryable: true, details: { nodeError: { code: 'UNAVAILABLE' } } });
    node.ws.terminate();
    for (const { error } of await Promise.all(waiting.slice(0, -1))) expect(error?.message).toContain('node disconnected');
  } finally {
    await own.close();
  }
});

describe('what a node hears of conversations', () => {
  it('C-142 C-143 nothing, but for those it subscribed to: each event once, until it unsubscribes or leaves', async () => {
    const world = await startScripted({ hello: [{ text: 'hi ' }, { text: 'there' }] });
    try {
      const client = await world.gateway.connect();
      const node = await connectNode('listener', { at: world.gateway });
      const turn = async (sessionKey: string) => {
        const runId = randomUUID();
        await client.call('chat.send', { sessionKey, message: 'hello', idempotencyKey: runId });
        await chatEnd(client, runId);
        // Whatever was sent to the node before this answer has arrived.
        await node.call('skills.bins');
        return runId;
      };
      const heard = (runId: string, by = node) => eventsOf(by, runId).map(({ event, payload, seq }) => [event, payload.seq, seq]);
      expect(heard(await turn('main'))).toEqual([]);

      await node.call('node.event', { event: 'chat.subscribe', payloadJSON: '{"sessionKey":"Agent:main:MAIN"}' });
      const run = await turn('main');
      expect(heard(run).filter(([event]) => event === 'chat').length).toBeGreaterThan(0);
      expect(heard(run)).toEqual(heard(run, client));
      expect(heard(await turn('other'))).toEqual([]);

      await node.call('node.event', { event: 'chat.unsubscribe', payload: { sessionKey: 'main' } });
      expect(heard(await turn('main'))).toEqual([]);

      await node.call('node.event', { event: 'chat.subscribe', payload: { sessionKey: 'main' } });
      node.close();
      await node.closed;
      const back = await connectNode('listener', { at: world.gateway });
      const later = randomUUID();
      await client.call('chat.send', { sessionKey: 'main', message: 'hello', idempotencyKey: later });
      await chatEnd(client, later);
      await back.call('skills.bins');
      expect(heard(later, back)).toEqual([]);
    } finally {
      await world.close();
    }
  });
});
