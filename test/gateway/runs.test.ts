import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { type BlackHole, startBlackHole, startModelServer } from '../fakes/model-servers/index.ts';
import { defaultConfig, type Gateway, type GatewayOptions, repository, startGateway, temporaryHome } from '../support/gateway.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function start(options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await startGateway(options);
  open.push(gateway);
  return gateway;
}

function scripted(script: object, more: object = {}): GatewayOptions {
  const home = temporaryHome();
  const path = join(home, 'script.json');
  writeFileSync(path, JSON.stringify(script));
  return { home, config: { ...defaultConfig, ...more, agents: { defaults: { model: `openclaw/script:${path}` } } } };
}

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z');
  } catch {
    return false;
  }
};

it('A-017 abandons a tool that ignores its end, frees the session, and leaves nothing of it running', async () => {
  // The shell ends at a polite word; what it started does not, and has let go of every pipe.
  const command = `(trap '' TERM; echo $$ > shell; exec sh -c 'echo $$ > child; exec sleep 300' >/dev/null 2>&1) & wait`;
  const gateway = await start(
    scripted(
      { tool: [{ toolCall: { name: 'exec', arguments: { command } } }], '*': [{ text: 'free' }] },
      { tools: { exec: { security: 'full' } } },
    ),
  );
  const client = await gateway.connect();
  await client.call('chat.send', { sessionKey: 'main', message: 'tool', idempotencyKey: 'stuck' });
  const childFile = join(gateway.home, '.openclaw', 'workspace', 'child');
  await expect.poll(() => existsSync(childFile) && readFileSync(childFile, 'utf8').trim(), { timeout: 10_000 }).toBeTruthy();
  const pid = Number(readFileSync(childFile, 'utf8'));
  expect(isAlive(pid)).toBe(true);
  await client.call('chat.abort', { sessionKey: 'main' });
  await client.call('chat.send', { sessionKey: 'main', message: 'hi', idempotencyKey: 'next' });
  await client.event('chat', (payload) => payload.runId === 'next' && payload.state === 'final', 2_000);
  await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false);
});

it('does not repeat a run that was killed inside a tool with side effects, and says that its outcome is unknown', async () => {
  const command = 'echo once >> marker; sleep 4';
  const script = { tool: [{ toolCall: { name: 'exec', arguments: { command } } }], '*': [{ text: 'free' }] };
  const first = await start(scripted(script, { tools: { exec: { security: 'full' } } }));
  const before = await first.connect();
  before.send({ type: 'req', id: 'tool', method: 'agent', params: { message: 'tool', idempotencyKey: 'killed' } });
  const marker = join(first.home, '.openclaw', 'workspace', 'marker');
  await expect.poll(() => existsSync(marker), { timeout: 10_000 }).toBe(true);
  await first.kill();
  const gateway = await first.again();
  open.push(gateway);
  const client = await gateway.connect();
  expect(await client.call('agent.wait', { runId: 'killed' })).toMatchObject({ status: 'error' });
  const { messages } = await client.call('chat.history', { sessionKey: 'main' });
  expect(messages.map(({ role }: { role: string }) => role)).toEqual(['user', 'assistant', 'toolResult']);
  expect(messages[2]).toMatchObject({ isError: true, content: [{ text: 'interrupted, outcome unknown' }] });
  expect(readFileSync(marker, 'utf8')).toBe('once\n');
});

it('A-029 runs four at once in the main lane and one in a conversation', async () => {
  const gateway = await start(scripted({ '*': [{ delayMs: 60 }, { text: 'ok' }] }));
  const client = await gateway.connect();
  const keys = Array.from({ length: 50 }, (_, index) => `run-${index}`);
  const conversationOf = (key: string) => `room-${Number(key.slice(4)) % 25}`;
  for (const key of keys)
    client.send({ type: 'req', id: key, method: 'agent', params: { message: key, idempotencyKey: key, sessionKey: conversationOf(key) } });
  await Promise.all(keys.map((key) => client.stages(key, 15_000)));
  const busy = new Map<string, string>();
  let most = 0;
  for (const { payload } of client.events('agent').filter(({ payload: { stream } }) => stream === 'lifecycle')) {
    if (payload.data.phase === 'start') {
      expect([...busy.values()]).not.toContain(conversationOf(payload.runId));
      busy.set(payload.runId, conversationOf(payload.runId));
    } else busy.delete(payload.runId);
    most = Math.max(most, busy.size);
  }
  expect(most).toBe(4);
});

/** The port answers a moment before the part behind it does; a client tries again, and so does this. */
async function connectEarly(gateway: Gateway): ReturnType<Gateway['connect']> {
  const until = performance.now() + 5_000;
  for (;;) {
    try {
      return await gateway.connect();
    } catch (error) {
      if (performance.now() > until) throw error;
    }
  }
}

it('A-005 answers hello while four silent ports are asked for models, and stops asking after 400 ms', async () => {
  const holes: BlackHole[] = await Promise.all([0, 1, 2, 3].map(() => startBlackHole()));
  open.push(...holes);
  const gateway = await start({ ready: false, env: { OPENCLAW_TEST_MODEL_PORTS: holes.map(({ port }) => port).join(',') } });
  const client = await connectEarly(gateway);
  expect(gateway.stdout()).not.toMatch(/\] ready/);
  await gateway.printed(/\] ready/);
  const { lines } = await client.call('logs.tail');
  const records = lines.map((line: string) => JSON.parse(line));
  const at = (fits: (record: Record<string, unknown>) => boolean) => new Date(records.find(fits)?.time).getTime();
  const listening = at(({ msg, message = msg }) => String(message).startsWith('listening on'));
  const chosen = at((record) => record['chosen'] === 'built in');
  expect(chosen - listening).toBeGreaterThanOrEqual(300);
  expect(chosen - listening).toBeLessThan(1_000);
});

it('A-069 imports no channel library in the code of agents, and writes no key of a provider into a log', async () => {
  const seen = new Set<string>();
  const visit = (path: string) => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const [, name = ''] of readFileSync(path, 'utf8').matchAll(/(?:from|import)\s*\(?'([^']+)'/g)) {
      expect(name, path).not.toMatch(/grammy|baileys/);
      if (name.startsWith('.')) visit(join(dirname(path), name));
    }
  };
  const folder = join(repository, 'src', 'actors', 'runs');
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) if (name.endsWith('.ts')) visit(join(folder, name));
  expect(seen.size).toBeGreaterThan(20);

  const server = await startModelServer();
  open.push(server);
  server.reply({ fault: { kind: 'status', status: 401, message: 'bad key canary-key-0123456789' } });
  const gateway = await start({
    env: { OPENCLAW_LOG_LEVEL: 'trace' },
    config: {
      ...defaultConfig,
      agents: { defaults: { model: 'fake/model-1' } },
      models: { providers: { fake: { baseUrl: server.baseUrl, apiKey: 'canary-key-0123456789' } } },
    },
  });
  const client = await gateway.connect();
  for (const key of ['refused', 'answered']) {
    client.send({ type: 'req', id: key, method: 'agent', params: { message: 'hi', idempotencyKey: key } });
    await client.stages(key);
  }
  expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(Array(2).fill('Bearer canary-key-0123456789'));
  const { lines } = await client.call('logs.tail');
  expect(lines.length).toBeGreaterThan(3);
  expect(lines.join('') + gateway.stdout() + gateway.stderr()).not.toContain('canary-key');
});
