/** How clients hear of an end, and the first of them of a beginning (protocol 3, 9.3 and 9.10). */
import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { type Gateway, type GatewayOptions, startGateway, temporaryHome, token } from '../support/gateway.ts';
import { openRaw, type RawClient } from '../support/raw-client.ts';

/** A gateway of one test, which ends with it however it goes. */
async function start(options?: GatewayOptions): Promise<Gateway> {
  const gateway = await startGateway(options);
  onTestFinished(() => gateway.close());
  return gateway;
}

/** A gateway with a run that takes its time, so that an end takes a moment too. */
async function startBusy(): Promise<Gateway> {
  const home = temporaryHome();
  const script = join(home, 'script.json');
  await writeFile(script, JSON.stringify({ '*': [{ hang: true }] }));
  return start({
    home,
    config: {
      gateway: { mode: 'local', auth: { mode: 'token', token }, drainMs: 0 },
      agents: { defaults: { model: `openclaw/script:${script}` } },
      commands: { restart: true },
    },
  });
}

it.each([
  ['stop', 'SIGTERM', 'gateway stopping'],
  ['restart', 'SIGUSR1', 'gateway restarting'],
] as const)('C-066 a graceful %s is announced to everybody before it closes with 1012', async (kind, signal, reason) => {
  const gateway = await start();
  const clients = [
    await gateway.connect(),
    await gateway.connect({ scopes: ['operator.read'] }),
    await gateway.connect({ role: 'node', client: { mode: 'node' } }),
  ];
  gateway.signal(signal);
  for (const client of clients) {
    expect(await client.closed).toEqual({ code: 1012, reason: 'service restart' });
    const shutdown = client.events('shutdown');
    expect(shutdown).toHaveLength(1);
    expect(shutdown[0]?.payload).toEqual({ reason, ...(kind === 'restart' ? { restartExpectedMs: 1_500 } : {}) });
    // Nothing but answers follows it.
    expect(client.frames.slice(client.frames.indexOf(shutdown[0] as never) + 1).filter(({ type }) => type === 'event')).toEqual([]);
  }
  if (kind === 'restart') {
    await gateway.printed('ready again');
    const back = await gateway.connect();
    expect((await back.call('health')).ok).toBe(true);
  } else expect(await gateway.exited).toEqual({ code: 0, signal: null });
});

/** Asks as soon as the announcement has arrived, as a client that has not looked at it yet. */
function askOn(client: RawClient): Promise<void> {
  return new Promise((resolve) =>
    client.ws.on('message', (data) => {
      if (!data.toString().includes('"shutdown"')) return;
      for (const id of ['late-1', 'late-2']) client.send({ type: 'req', id, method: 'health' });
      resolve();
    }),
  );
}

it.each([
  ['stop', 'SIGTERM', {}],
  ['restart', 'SIGUSR1', { retryAfterMs: 1_500 }],
] as const)('C-067 a request during a %s is answered UNAVAILABLE and retryable', async (_kind, signal, more) => {
  const gateway = await startBusy();
  const client = await gateway.connect();
  client.send({ type: 'req', id: 'run', method: 'agent', params: { message: 'hang', idempotencyKey: 'hanging' } });
  await client.response('run');
  const asked = askOn(client);
  gateway.signal(signal);
  await asked;
  await client.closed;
  for (const id of ['late-1', 'late-2']) {
    expect(await client.response(id)).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE', retryable: true, ...more } });
  }
  if (signal === 'SIGTERM') expect((await client.response('late-1')).error).not.toHaveProperty('retryAfterMs');
});

it('C-159 the first client after the port opens is shown the whole health', async () => {
  const port = await freePort();
  const starting = start({ args: ['--port', String(port)] });
  let first: RawClient | undefined;
  while (first === undefined) first = await openRaw(`ws://127.0.0.1:${port}`).catch(() => undefined);
  const hello = await first.hello();
  const shown = hello.payload.snapshot.health;
  const answer = await first.call('health', { probe: true });
  expect(Object.keys(shown).sort()).toEqual(Object.keys(answer).sort());
  for (const name of ['ok', 'ts', 'durationMs', 'channels', 'channelOrder', 'sessions', 'phase']) {
    expect(typeof shown[name], name).toBe(typeof answer[name]);
  }
  expect(shown.sessions).toEqual({ path: expect.any(String), count: expect.any(Number), recent: expect.any(Array) });
  first.close();
  await starting;
});

it('garbage sent to a gateway that is starting or restarting raises nothing', async () => {
  const gateway = await start();
  for (let turn = 0; turn < 3; turn += 1) {
    gateway.signal('SIGUSR1');
    const arrived = await Promise.all(Array.from({ length: 20 }, () => gateway.raw().catch(() => undefined)));
    const strangers = arrived.filter((stranger) => stranger !== undefined);
    for (const stranger of strangers) stranger.sendText('no json');
    await Promise.all(strangers.map(({ closed }) => closed));
  }
  const client = await gateway.connect();
  expect((await client.call('health')).ok).toBe(true);
  expect(gateway.log().filter((record) => JSON.stringify(record).includes('no actor owns'))).toEqual([]);
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
