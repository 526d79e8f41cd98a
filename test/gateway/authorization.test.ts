/** Who may call what (protocol 4 and 9.4). */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defaultConfig, type Gateway, startGateway } from '../support/gateway.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

const words = (text: string) => text.split(/\s+/);

const readMethods = words(
  `health status logs.tail channels.status usage.status usage.cost tts.status tts.providers models.list agents.list
   agent.identity.get skills.status voicewake.get sessions.list sessions.preview cron.list cron.status cron.runs
   system-presence last-heartbeat node.list node.describe chat.history`,
);

it('C-070 a reader passes for everything that reads and is told which scope the rest needs', async () => {
  const reader = await gateway.connect({ scopes: ['operator.read'] });
  for (const method of readMethods) {
    const { error } = await reader.request(method, {});
    expect(error?.message ?? '', method).not.toMatch(/missing scope|unauthorized/);
  }
  const refused = async (method: string) => (await reader.request(method, {})).error;
  expect(await refused('send')).toMatchObject({ code: 'INVALID_REQUEST', message: 'missing scope: operator.write' });
  expect(await refused('node.pair.list')).toMatchObject({ code: 'INVALID_REQUEST', message: 'missing scope: operator.pairing' });
  for (const method of ['config.get', 'system-event', 'set-heartbeats', 'web.login.start', 'sessions.patch']) {
    expect(await refused(method), method).toMatchObject({ code: 'INVALID_REQUEST', message: 'missing scope: operator.admin' });
  }
  expect((await refused('exec.approval.resolve'))?.message).toBe('missing scope: operator.approvals');
  reader.close();
});

it('C-071 writing implies reading', async () => {
  const writer = await gateway.connect({ scopes: ['operator.write'] });
  expect((await writer.call('health')).ok).toBe(true);
  expect((await writer.request('config.get')).error?.message).toBe('missing scope: operator.admin');
  writer.close();
});

it('C-072 an operator, admin or not, may not play a node', async () => {
  for (const scopes of [[], ['operator.read']]) {
    const operator = await gateway.connect({ scopes });
    for (const method of ['node.event', 'node.invoke.result', 'skills.bins']) {
      expect((await operator.request(method, {})).error).toMatchObject({
        code: 'INVALID_REQUEST',
        message: 'unauthorized role: operator',
      });
    }
    operator.close();
  }
});

it('C-073 a node may call the node methods and nothing else, whatever scopes it asks for', async () => {
  const node = await gateway.connect({ role: 'node', scopes: ['operator.admin'], client: { mode: 'node' } });
  for (const method of ['status', 'chat.send', 'config.get', 'health', 'no.such.method']) {
    expect((await node.request(method, {})).error, method).toMatchObject({
      code: 'INVALID_REQUEST',
      message: 'unauthorized role: node',
    });
  }
  expect((await node.call('skills.bins')).bins).toBeInstanceOf(Array);
  node.close();
});

it('C-074 a node may call what the configuration opens, out of a closed list', async () => {
  const nodes = { allowMethods: ['chat.history', 'status', 'no.such.method'] };
  const open = await startGateway({ config: { ...defaultConfig, gateway: { ...defaultConfig.gateway, nodes } } });
  try {
    const node = await open.connect({ role: 'node', client: { mode: 'node' } });
    expect((await node.call('chat.history', { sessionKey: 'main' })).messages).toEqual([]);
    for (const method of ['chat.send', 'status', 'no.such.method'])
      expect((await node.request(method, {})).error?.message, method).toBe('unauthorized role: node');
    const operator = await open.connect({ scopes: ['operator.pairing'] });
    expect((await operator.request('chat.history', { sessionKey: 'main' })).error?.message).toBe('missing scope: operator.read');
  } finally {
    await open.close();
  }
});

it('C-056 an unknown method is unknown to an admin and forbidden to everybody else', async () => {
  const admin = await gateway.connect();
  for (const method of ['no.such.method', '__proto__', 'constructor', 'toString', 'x'.repeat(10_000)]) {
    expect((await admin.request(method)).error, method.slice(0, 20)).toMatchObject({
      code: 'INVALID_REQUEST',
      message: `unknown method: ${method}`,
    });
  }
  const writer = await gateway.connect({ scopes: ['operator.write', 'operator.pairing'] });
  expect((await writer.request('no.such.method')).error?.message).toBe('missing scope: operator.admin');
  admin.close();
  writer.close();
});
