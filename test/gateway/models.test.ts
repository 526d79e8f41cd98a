import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { type ModelServer, startBlackHole, startModelServer } from '../fakes/model-servers/index.ts';
import { defaultConfig, type Gateway, type GatewayOptions, startGateway, temporaryHome } from '../support/gateway.ts';
import type { Frame, RawClient } from '../support/raw-client.ts';
import { eventually } from '../support/telegram-gateway.ts';

async function start(options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await startGateway(options);
  onTestFinished(() => gateway.close());
  return gateway;
}

async function server(options?: Parameters<typeof startModelServer>[0]): Promise<ModelServer> {
  const started = await startModelServer(options);
  onTestFinished(() => started.close());
  return started;
}

async function ask(client: RawClient, message: string, more: Record<string, unknown> = {}): Promise<Frame> {
  const id = randomUUID();
  client.send({ type: 'req', id, method: 'agent', params: { message, sessionKey: 'talk', idempotencyKey: id, ...more } });
  return (await client.stages(id))[1];
}

const canary = 'sk-canary-0123456789abcdef';
/** The line that names the model; the log file is written a moment later. */
const modelLine = (gateway: Gateway) =>
  eventually(() => gateway.log().find(({ message }) => message === 'model'), 'the line about the model');
const configFor = (api: string, { baseUrl }: ModelServer) => ({
  ...defaultConfig,
  agents: { defaults: { model: 'fake/large' } },
  models: { providers: { fake: { api, baseUrl, apiKey: canary } } },
});
const bothWires = [
  ['openai-completions', '/v1/chat/completions'],
  ['anthropic-messages', '/v1/messages'],
] as const;

it('A-004 takes a local server before the built-in model, and a key before both', async () => {
  const local = await server({
    models: [
      { id: 'embed-small', contextLength: 99_000 },
      { id: 'small', contextLength: 4_000 },
      { id: 'large', contextLength: 32_000 },
    ],
  });
  local.reply({ text: ['I am ', 'local'] });
  const ports = { OPENCLAW_TEST_MODEL_PORTS: `${local.port},,,` };

  const withServer = await start({ env: ports });
  const client = await withServer.connect();
  const answer = await ask(client, 'hi');
  expect(answer.payload.result).toMatchObject({
    payloads: [{ text: 'I am local' }],
    meta: { agentMeta: { provider: 'ollama', model: 'large' } },
  });
  expect(await modelLine(withServer)).toMatchObject({ model: 'ollama/large', chosen: 'local server' });

  const withKey = await start({ env: { ...ports, ANTHROPIC_API_KEY: canary } });
  expect(await modelLine(withKey)).toMatchObject({ model: expect.stringMatching(/^anthropic\//), chosen: 'key' });
  expect((await (await withKey.connect()).call('models.list')).models[0].id).toMatch(/^anthropic\//);
  // Nobody asked the server: it had been asked once, by the gateway before.
  expect(local.requests.filter(({ path }) => path === '/v1/models')).toHaveLength(1);
});

it('A-005 says hello before it knows its model, and gives up on silent servers after 400 ms', async () => {
  const holes = await Promise.all([startBlackHole(), startBlackHole(), startBlackHole(), startBlackHole()]);
  onTestFinished(async () => void (await Promise.all(holes.map((hole) => hole.close()))));
  const gateway = await start({ ready: false, env: { OPENCLAW_TEST_MODEL_PORTS: holes.map(({ port }) => port).join() } });
  const client = await gateway.connect();
  const helloAt = Date.now();
  expect(gateway.stdout()).not.toContain('[models] model');
  await gateway.printed(/\] ready/);
  const line = await modelLine(gateway);
  expect(line).toMatchObject({ model: 'openclaw/assistant', chosen: 'built in' });
  const listening = gateway.log().find(({ message }) => /^listening on/.test(String(message)));
  const [from, to] = [listening, line].map((entry) => new Date(entry?.['time'] as string | number).getTime()) as [number, number];
  expect(helloAt).toBeLessThanOrEqual(to);
  // 400 ms from the question on; the rest is patience with a busy machine.
  expect(to - from).toBeGreaterThan(200);
  expect(to - from).toBeLessThan(400 + 1_500);
  expect((await ask(client, 'hi')).payload.result.meta.agentMeta.model).toBe('assistant');
});

it.each(bothWires)('A-020 hangs up on the model as soon as a run is aborted (%s)', async (api) => {
  const fake = await server();
  const gateway = await start({ config: configFor(api, fake) });
  const client = await gateway.connect();
  const took: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    fake.reply({ text: ['one ', 'two '], fault: { kind: 'hang', at: 'afterFirst' } });
    const key = randomUUID();
    await client.call('chat.send', { sessionKey: 'talk', message: 'hello', idempotencyKey: key });
    const seen = await fake.request(round);
    await client.event('agent', ({ runId, stream }) => runId === key && stream === 'assistant');
    const from = performance.now();
    await client.call('chat.abort', { sessionKey: 'talk' });
    took.push((await seen.hungUp) - from);
  }
  // The quickest of them: a busy machine may hold up one, the gateway would hold up all.
  expect(Math.min(...took)).toBeLessThan(100);
});

it('A-061 writes the same history whichever wire the model speaks', async () => {
  const histories = await Promise.all(
    bothWires.map(async ([api, path]) => {
      const fake = await server();
      fake.reply(
        {
          reasoning: ['hm'],
          text: ['I look ', 'it up.'],
          toolCalls: [{ id: 'call_1', name: 'remember', arguments: { text: 'milk' } }],
          usage: { input: 20, output: 5 },
        },
        { text: ['It is ', 'noted.'], usage: { input: 30, output: 4 } },
        { text: ['Milk.'], usage: { input: 40, output: 1 } },
      );
      const gateway = await start({ config: configFor(api, fake) });
      const client = await gateway.connect();
      for (const message of ['remember the milk', 'what was it?']) expect((await ask(client, message)).ok).toBe(true);
      expect(fake.requests.map((request) => request.path)).toEqual([path, path, path]);
      const { messages } = await client.call('chat.history', { sessionKey: 'talk' });
      return messages.map(({ timestamp: _timestamp, runId: _runId, ...entry }: Record<string, unknown>) => entry);
    }),
  );
  expect(histories[0]).toEqual(histories[1]);
  expect(histories[0]?.map(({ role }: { role: string }) => role)).toEqual([
    'user',
    'assistant',
    'toolResult',
    'assistant',
    'user',
    'assistant',
  ]);
  expect(histories[0]?.[1]).toMatchObject({
    content: [
      { type: 'thinking', thinking: 'hm' },
      { type: 'text', text: 'I look it up.' },
      { type: 'toolCall', id: 'call_1', name: 'remember', arguments: { text: 'milk' } },
    ],
    usage: { input: 20, output: 5, total: 25 },
  });
  // Each step counts for itself.
  expect(histories[0]?.[3]).toMatchObject({
    content: [{ type: 'text', text: 'It is noted.' }],
    usage: { input: 30, output: 4, total: 34 },
  });
});

it.each(bothWires)('A-069 writes no provider key into any line, whatever the server answers (%s)', async (api) => {
  const fake = await server();
  fake.reply(
    { fault: { kind: 'status', status: 401, message: `the key ${canary} is not valid` } },
    { fault: { kind: 'status', status: 500, message: `${canary} broke us` } },
    { text: ['a'], fault: { kind: 'cut', afterPieces: 1 } },
    { text: ['fine'] },
  );
  const gateway = await start({ config: { ...configFor(api, fake), logging: { level: 'trace', consoleLevel: 'trace' } } });
  const client = await gateway.connect();
  const answers = [await ask(client, 'a'), await ask(client, 'b'), await ask(client, 'c'), await ask(client, 'd')];
  expect(answers.map(({ ok }) => ok)).toEqual([false, false, false, true]);
  // It was the key indeed that went to the server.
  expect(JSON.stringify(fake.requests[0]?.headers)).toContain(canary);
  await gateway.stop();
  expect(gateway.log().length).toBeGreaterThan(5);
  expect(JSON.stringify(gateway.log())).not.toContain(canary);
  expect(gateway.stdout() + gateway.stderr()).not.toContain(canary);
  expect(JSON.stringify(client.frames)).not.toContain(canary);
});

/** A start that tells the address of every module, in the order of loading, beside the lines of the gateway. */
async function loadedBy(options: GatewayOptions): Promise<{ gateway: Gateway; lines: () => string[] }> {
  const home = temporaryHome();
  const hook = join(home, 'modules.mjs');
  writeFileSync(
    hook,
    `import { registerHooks } from 'node:module';
import { writeSync } from 'node:fs';
registerHooks({ load(url, context, next) { writeSync(1, 'MODULE ' + url + '\\n'); return next(url, context); } });`,
  );
  const gateway = await start({ ...options, home, env: { ...options.env, NODE_OPTIONS: `--import ${hook}` } });
  return { gateway, lines: () => gateway.stdout().split('\n') };
}
const isLibrary = (line: string) => /^MODULE .*node_modules\/(ai|@ai-sdk\/[^/]+)\//.test(line);

it('A-070 never loads the model libraries with the built-in model alone', async () => {
  const { gateway, lines } = await loadedBy({});
  const client = await gateway.connect();
  expect((await ask(client, 'hi')).ok).toBe(true);
  expect(lines().some((line) => line.startsWith('MODULE '))).toBe(true);
  expect(lines().filter(isLibrary)).toEqual([]);
});

it.each(['configured', 'detected'])('A-070 loads the model libraries after the port answers and before it is ready (%s)', async (how) => {
  const fake = await server({ models: [{ id: 'large' }] });
  const options =
    how === 'configured' ? { config: configFor('openai-completions', fake) } : { env: { OPENCLAW_TEST_MODEL_PORTS: `${fake.port},,,` } };
  const { gateway, lines } = await loadedBy(options);
  const order = lines();
  const first = order.findIndex(isLibrary);
  const last = order.findLastIndex(isLibrary);
  expect(first).toBeGreaterThan(order.findIndex((line) => line.includes('listening on ws:')));
  expect(last).toBeLessThan(order.findIndex((line) => line.includes('] ready')));
  // The first run finds everything there.
  const client = await gateway.connect();
  expect((await ask(client, 'hi')).ok).toBe(true);
  expect(lines().filter(isLibrary)).toHaveLength(order.filter(isLibrary).length);
});
