import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { type ModelServer, startModelServer } from '../fakes/model-servers/index.ts';
import { defaultConfig, type Gateway, type GatewayOptions, repository, startGateway, temporaryHome } from '../support/gateway.ts';
import type { RawClient } from '../support/raw-client.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function start(options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await startGateway(options);
  open.push(gateway);
  return gateway;
}

async function startServer(options?: Parameters<typeof startModelServer>[0]): Promise<ModelServer> {
  const server = await startModelServer(options);
  open.push(server);
  return server;
}

const modelConfig = (server: ModelServer, api: 'openai-completions' | 'anthropic-messages') => ({
  ...defaultConfig,
  agents: { defaults: { model: 'fake/model-1' } },
  models: { providers: { fake: { baseUrl: server.baseUrl, apiKey: 'canary-key-0123456789', api } } },
});

async function ask(client: RawClient, message: string, key: string, more: object = {}) {
  client.send({ type: 'req', id: key, method: 'agent', params: { message, idempotencyKey: key, ...more } });
  const [, final] = await client.stages(key);
  return final;
}
const textOf = (final: { payload?: { result: { payloads: { text: string }[] } } }) => final.payload?.result.payloads[0]?.text;

it('A-001 A-002 A-003 answers without configuration or keys, runs a command, and says the same twice', async () => {
  const gateway = await start({ config: null, args: ['--allow-unconfigured', '--token', defaultConfig.gateway.auth.token] });
  const client = await gateway.connect();
  client.send({ type: 'req', id: 'first', method: 'agent', params: { message: 'hi', idempotencyKey: 'first' } });
  const [ack, first] = await client.stages('first');
  expect(ack.payload).toMatchObject({ status: 'accepted' });
  expect(first).toMatchObject({ ok: true, payload: { result: { meta: { agentMeta: { provider: 'openclaw', model: 'assistant' } } } } });
  expect(textOf(first)).toContain('built-in assistant');
  expect(textOf(await ask(client, 'hi', 'second'))).toBe(textOf(first));
  const topics = [await ask(client, 'tell me of the sea', 'one'), await ask(client, 'tell me of the sea', 'two')].map(textOf);
  expect(topics[1]).toBe(topics[0]);
  expect(textOf(await ask(client, 'run echo hi', 'echo'))).toBe('hi');
  expect(textOf(await ask(client, 'run touch made-it', 'touch'))).toContain('not in the list of allowed programs');
  const { messages } = await client.call('chat.history', { sessionKey: 'main' });
  expect(messages.find(({ toolName }: { toolName?: string }) => toolName === 'exec')).toMatchObject({ role: 'toolResult', isError: false });
});

it('A-004 takes a local server before the built-in model, and a key before both', async () => {
  const server = await startServer({
    models: [
      { id: 'small', contextLength: 4_096 },
      { id: 'large', contextLength: 32_768 },
    ],
  });
  const local = await start({ env: { OPENCLAW_TEST_MODEL_PORTS: String(server.port) } });
  const modelOf = async (gateway: Gateway) => {
    const { lines } = await (await gateway.connect()).call('logs.tail');
    return lines.map((line: string) => JSON.parse(line)).find(({ chosen }: { chosen?: string }) => chosen !== undefined);
  };
  expect(await modelOf(local)).toMatchObject({ model: 'ollama/large', chosen: 'local server' });
  const keyed = await start({ env: { OPENCLAW_TEST_MODEL_PORTS: String(server.port), OPENAI_API_KEY: 'canary-key-0123456789' } });
  expect(await modelOf(keyed)).toMatchObject({ chosen: 'key', model: expect.stringMatching(/^openai\//) });
});

it('A-012 A-013 calls the model once for three clients with one key, and not again after a restart', async () => {
  const server = await startServer();
  server.reply({ text: ['the ', 'only ', 'answer'], fault: { kind: 'drip', everyMs: 1 } });
  const gateway = await start({ config: modelConfig(server, 'openai-completions') });
  const clients = await Promise.all([gateway.connect(), gateway.connect(), gateway.connect()]);
  const finals = await Promise.all(clients.map((client) => ask(client, 'hi', 'shared')));
  expect(finals.map(textOf)).toEqual(['the only answer', 'the only answer', 'the only answer']);
  expect(server.requests).toHaveLength(1);
  await gateway.stop();
  const again = await gateway.again();
  open.push(again);
  const client = await again.connect();
  const stored = await client.request('agent', { message: 'hi', idempotencyKey: 'shared' });
  expect(stored).toMatchObject({ ok: true });
  expect(stored.payload).toEqual(finals[0]?.payload);
  expect(server.requests).toHaveLength(1);
});

it('A-020 closes the connection to the model when a run is aborted', async () => {
  const server = await startServer();
  server.reply({ text: ['never ', 'complete'], fault: { kind: 'hang', at: 'afterFirst' } });
  const gateway = await start({ config: modelConfig(server, 'openai-completions') });
  const client = await gateway.connect();
  await client.call('chat.send', { sessionKey: 'main', message: 'hi', idempotencyKey: 'cut' });
  const seen = await server.request(0);
  await client.event('chat', (payload) => payload.runId === 'cut' && payload.state === 'delta');
  const from = performance.now();
  await client.call('chat.abort', { sessionKey: 'main' });
  expect((await seen.hungUp) - from).toBeLessThan(100);
});

it('A-061 keeps equal histories of one conversation on both wires, and no key in the log', async () => {
  const histories = [];
  for (const api of ['openai-completions', 'anthropic-messages'] as const) {
    const server = await startServer();
    server.reply(
      { text: ['let me ', 'look'], toolCalls: [{ id: 'call_1', name: 'exec', arguments: { command: 'echo hi' } }] },
      { text: ['it said ', 'hi'] },
      { text: ['you are ', 'welcome'] },
    );
    const gateway = await start({ config: modelConfig(server, api) });
    const client = await gateway.connect();
    expect(textOf(await ask(client, 'look', 'one'))).toBe('it said hi');
    expect(textOf(await ask(client, 'thanks', 'two'))).toBe('you are welcome');
    const { messages } = await client.call('chat.history', { sessionKey: 'main' });
    histories.push(messages.map(({ timestamp: _timestamp, ...entry }: { timestamp: number }) => entry));
    expect(JSON.stringify(gateway.log()) + gateway.stdout() + gateway.stderr()).not.toContain('canary-key-0123456789');
  }
  expect(histories[0].map(({ role }: { role: string }) => role)).toEqual([
    'user',
    'assistant',
    'toolResult',
    'assistant',
    'user',
    'assistant',
  ]);
  expect(histories[1]).toEqual(histories[0]);
});

it('C-111 shows the newest 200 of 300 messages in order and refuses a limit above 1000', async () => {
  const gateway = await start();
  const client = await gateway.connect();
  await Promise.all(Array.from({ length: 150 }, (_, index) => ask(client, `1 + ${index}`, `sum-${index}`)));
  const { messages } = await client.call('chat.history', { sessionKey: 'main' });
  expect(messages).toHaveLength(200);
  const said = messages
    .filter(({ role }: { role: string }) => role === 'user')
    .map(({ content }: { content: { text: string }[] }) => content[0]?.text);
  expect(said).toEqual(Array.from({ length: 100 }, (_, index) => `1 + ${index + 50}`));
  expect((await client.request('chat.history', { sessionKey: 'main', limit: 1001 })).error?.code).toBe('INVALID_REQUEST');
});

it('A-070 loads the model libraries only for a model that needs them, after the port answers and before ready', async () => {
  const recorded = async (config: object | undefined) => {
    const home = temporaryHome();
    const path = join(home, 'imports.txt');
    const recorder = pathToFileURL(join(repository, 'test', 'support', 'record-imports.ts')).href;
    const gateway = await start({
      home,
      env: { NODE_OPTIONS: `--import=${recorder}`, RECORD_IMPORTS_TO: path },
      ...(config === undefined ? {} : { config: config as Record<string, unknown> }),
    });
    const client = await gateway.connect();
    await ask(client, 'hi', 'hi');
    const loads = readFileSync(path, 'utf8').split('\n').filter(Boolean);
    expect(loads.length).toBeGreaterThan(50);
    const { lines } = await client.call('logs.tail');
    const records: { time: string; msg?: string }[] = lines.map((line: string) => JSON.parse(line));
    const at = (words: RegExp) => new Date(records.find((record) => words.test(JSON.stringify(record)))?.time ?? 0).getTime();
    const libraries = loads.filter((line) => /node_modules\/(?:ai|@ai-sdk)\//.test(line)).map((line) => Number(line.split(' ')[0]));
    return { libraries, listening: at(/"listening on/), ready: at(/"ready"/) };
  };
  expect((await recorded(undefined)).libraries).toEqual([]);
  const server = await startServer();
  const { libraries, listening, ready } = await recorded(modelConfig(server, 'openai-completions'));
  expect(libraries.length).toBeGreaterThan(0);
  expect(Math.min(...libraries)).toBeGreaterThanOrEqual(listening);
  expect(Math.max(...libraries)).toBeLessThanOrEqual(ready);
});
