/** Pairing of nodes, which decides about no connection (protocol 7.6, 7.7 and 9.8). */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Gateway, startGateway, temporaryHome } from '../support/gateway.ts';
import type { RawClient } from '../support/raw-client.ts';

let gateway: Gateway;
let operator: RawClient;
beforeAll(async () => {
  gateway = await startGateway();
  operator = await gateway.connect();
});
afterAll(() => gateway.close());

const request = (nodeId: string, more: object = {}) => operator.call('node.pair.request', { nodeId, ...more });
const verify = (nodeId: string, token: string) => operator.request('node.pair.verify', { nodeId, token });

async function pair(nodeId: string, more: object = {}) {
  const { requestId } = (await request(nodeId, more)).request;
  return (await operator.call('node.pair.approve', { requestId })).node;
}

it('C-138 a node that asks twice has asked once, and whoever may pair hears of it once', async () => {
  const [reader, node] = [
    await gateway.connect({ scopes: ['operator.read', 'operator.write'] }),
    await gateway.connect({ role: 'node', scopes: ['operator.admin'], client: { mode: 'node' } }),
  ];
  const first = await request('asks', { displayName: 'Asks', caps: ['canvas'], silent: true });
  const second = await request('asks', { displayName: 'Another name' });
  expect(first).toEqual({
    status: 'pending',
    created: true,
    request: {
      requestId: expect.any(String),
      nodeId: 'asks',
      displayName: 'Asks',
      caps: ['canvas'],
      silent: true,
      isRepair: false,
      ts: expect.any(Number),
    },
  });
  expect(second).toEqual({ ...first, created: false });
  await Promise.all([operator.call('health'), reader.call('health'), node.call('skills.bins')]);
  const heard = operator.events('node.pair.requested').filter(({ payload }) => payload.nodeId === 'asks');
  expect(heard.map(({ payload }) => payload)).toEqual([first.request]);
  expect(heard[0]?.seq).toBeGreaterThan(0);
  for (const client of [reader, node]) expect(client.events('node.pair.requested')).toEqual([]);
});

it('C-139 an approval shows a token, which alone verifies, until the node is paired anew', async () => {
  const { requestId } = (await request('tokens', { platform: 'linux', silent: true })).request;
  const answer = await operator.call('node.pair.approve', { requestId });
  const { token } = answer.node;
  expect(token).toMatch(/^[0-9a-f]{32}$/);
  expect(answer).toEqual({
    requestId,
    node: { nodeId: 'tokens', platform: 'linux', token, createdAtMs: expect.any(Number), approvedAtMs: expect.any(Number) },
  });
  const event = await operator.event('node.pair.resolved', (payload) => payload.requestId === requestId);
  expect(event.payload).toEqual({ requestId, nodeId: 'tokens', decision: 'approved', ts: expect.any(Number) });
  expect((await verify('tokens', token)).payload).toEqual({ ok: true, node: answer.node });
  for (const [nodeId, wrong] of [
    ['tokens', `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`],
    ['tokens', token.slice(0, 8)],
    ['nobody', token],
  ] as const)
    expect(await verify(nodeId, wrong)).toMatchObject({ ok: true, payload: { ok: false } });

  const again = (await request('tokens')).request;
  expect(again.isRepair).toBe(true);
  const repaired = (await operator.call('node.pair.approve', { requestId: again.requestId })).node;
  expect(repaired.token).not.toBe(token);
  expect(repaired.createdAtMs).toBe(answer.node.createdAtMs);
  expect((await verify('tokens', token)).payload).toEqual({ ok: false });
  expect((await verify('tokens', repaired.token)).payload.ok).toBe(true);
});

it('C-140 a node that is only paired is listed and described, and a connection of it completes the picture', async () => {
  await pair('shelf', { displayName: 'Shelf', version: '1.0', coreVersion: '3', caps: ['b', 'a'], commands: ['system.run'] });
  const described = await operator.call('node.describe', { nodeId: 'shelf' });
  const { ts: _ts, ...info } = described;
  expect(info).toEqual({
    nodeId: 'shelf',
    displayName: 'Shelf',
    version: '1.0',
    coreVersion: '3',
    caps: ['a', 'b'],
    commands: ['system.run'],
    paired: true,
    connected: false,
  });
  expect((await operator.call('node.list')).nodes).toContainEqual(info);
  await gateway.connect({ role: 'node', commands: [], client: { version: '2.0', mode: 'node', platform: 'linux', instanceId: 'shelf' } });
  const live = await operator.call('node.describe', { nodeId: 'shelf' });
  expect(live).toMatchObject({ displayName: 'Shelf', version: '2.0', coreVersion: '3', commands: [], paired: true, connected: true });
  const seen = async () =>
    (await operator.call('node.pair.list')).paired.find(({ nodeId }: { nodeId: string }) => nodeId === 'shelf').lastConnectedAtMs;
  await expect.poll(seen).toBeGreaterThanOrEqual(live.connectedAtMs);
});

it('C-141 no list, event, log line, trace or file holds a token', async () => {
  const tokens = [(await pair('secret')).token, (await pair('secret')).token] as string[];
  for (const token of tokens) await verify('secret', token);
  await verify('secret', `${tokens[0]}x`);
  const list = await operator.call('node.pair.list');
  expect(list.paired.map(({ nodeId }: { nodeId: string }) => nodeId)[0]).toBe('secret');
  const shown = [
    list,
    await operator.call('node.list'),
    operator.frames.filter(({ type }) => type === 'event'),
    await operator.call('inspector.history', { limit: 1_000 }),
    await operator.call('inspector.tree'),
    await operator.call('logs.tail', {}),
    gateway.stdout() + gateway.stderr(),
  ].map((one) => JSON.stringify(one));
  const files = readdirSync(gateway.stateDir)
    .filter((name) => name.startsWith('gateway.db'))
    .map((name) => readFileSync(join(gateway.stateDir, name), 'latin1'));
  expect(files.join('')).toContain('secret');
  for (const text of [...shown, ...files]) for (const token of tokens) expect(text.includes(token)).toBe(false);
  for (const node of list.paired) for (const name of ['token', 'tokenHash']) expect(node).not.toHaveProperty(name);
});

it('C-156 a rejected request is over for everybody', async () => {
  const { requestId } = (await request('unwanted')).request;
  expect(await operator.call('node.pair.reject', { requestId })).toEqual({ requestId, nodeId: 'unwanted' });
  const event = await operator.event('node.pair.resolved', (payload) => payload.requestId === requestId);
  expect(event.payload).toEqual({ requestId, nodeId: 'unwanted', decision: 'rejected', ts: expect.any(Number) });
  const { pending, paired } = await operator.call('node.pair.list');
  expect([...pending, ...paired].some(({ nodeId }) => nodeId === 'unwanted')).toBe(false);
  for (const method of ['node.pair.approve', 'node.pair.reject'])
    expect((await operator.request(method, { requestId })).error).toMatchObject({
      code: 'INVALID_REQUEST',
      message: 'unknown requestId',
    });
});

it('a paired node can be given another name, and nobody else', async () => {
  const { token } = await pair('named', { displayName: 'Before' });
  expect(await operator.call('node.rename', { nodeId: 'named', displayName: ' After ' })).toEqual({
    nodeId: 'named',
    displayName: 'After',
  });
  expect((await operator.call('node.describe', { nodeId: 'named' })).displayName).toBe('After');
  expect((await verify('named', token)).payload.node.displayName).toBe('After');
  const refused = async (params: object) => (await operator.request('node.rename', params)).error?.message;
  expect(await refused({ nodeId: 'nobody', displayName: 'x' })).toBe('unknown nodeId');
  expect(await refused({ nodeId: 'named', displayName: '  ' })).toBe('displayName required');
  expect(await refused({ nodeId: 'named', displayName: 'x'.repeat(257) })).toContain('longer than');
});

it('a request may not be any size', async () => {
  const huge = await operator.request('node.pair.request', { nodeId: 'huge', displayName: 'x'.repeat(70_000) });
  expect(huge.error).toMatchObject({ code: 'INVALID_REQUEST', message: expect.stringContaining('longer than') });
});

it('nodes of an earlier product are taken over once, with their tokens; what cannot be read stays where it is', async () => {
  const home = temporaryHome();
  const folder = join(home, '.openclaw', 'nodes');
  mkdirSync(folder, { recursive: true });
  const token = 'a1'.repeat(16);
  const paired = { nodeId: 'old', token, displayName: 'Old', caps: ['canvas'], createdAtMs: 1, approvedAtMs: 2.4, lastConnectedAtMs: 3 };
  const request = { requestId: 'r-1', nodeId: 'new', isRepair: false, silent: true, ts: Date.now() };
  const late = { ...request, requestId: 'r-0', nodeId: 'late', ts: Date.now() - 300_001 };
  writeFileSync(join(folder, 'paired.json'), JSON.stringify({ old: paired, broken: { nodeId: 'broken' }, odd: 7 }));
  writeFileSync(join(folder, 'pending.json'), JSON.stringify({ 'r-1': request, 'r-0': late }));
  let own = await startGateway({ home });
  try {
    let client = await own.connect();
    const { token: _token, ...shown } = { ...paired, approvedAtMs: 2 };
    const list = await client.call('node.pair.list');
    expect(list).toEqual({ paired: [shown], pending: [request] });
    expect((await client.call('node.pair.verify', { nodeId: 'old', token })).ok).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(['paired.json.imported', 'pending.json.imported']);
    await client.call('node.pair.reject', { requestId: 'r-1' });
    await own.stop();
    writeFileSync(join(folder, 'paired.json'), 'no JSON');
    own = await own.again();
    client = await own.connect();
    expect(await client.call('node.pair.list')).toEqual({ paired: [shown], pending: [] });
    expect(existsSync(join(folder, 'paired.json'))).toBe(true);
  } finally {
    await own.close();
  }
});
