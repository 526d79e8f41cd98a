/** How a gateway ends: what clients are told, in which order, with which exit code, and that nothing is left. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { defaultConfig, type Gateway, type GatewayOptions, startGateway, temporaryHome } from '../support/gateway.ts';
import { descendants, eventually, isAlive } from '../support/processes.ts';
import type { RawClient } from '../support/raw-client.ts';

const opened: Gateway[] = [];
afterAll(async () => {
  await Promise.all(opened.splice(0).map((gateway) => gateway.close()));
});

async function start(options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await startGateway(options);
  opened.push(gateway);
  return gateway;
}

/** A gateway whose agent does what the script says. */
async function startScripted(script: object, more: object = {}): Promise<Gateway> {
  const home = temporaryHome();
  const path = join(home, 'script.json');
  writeFileSync(path, JSON.stringify(script));
  return start({ home, config: { ...defaultConfig, agents: { defaults: { model: `openclaw/script:${path}` } }, ...more } });
}

const runParams = (message: string, key: string) => ({ message, agentId: 'main', idempotencyKey: key });

/** A client that does not take part in the closing handshake, so that the stop lasts as long as it may. */
async function silent(gateway: Gateway): Promise<RawClient> {
  const client = await gateway.connect();
  client.ws.pause();
  return client;
}

// Half a minute of nothing, spent beside the other tests.
const idle = (async () => {
  const gateway = await start();
  const client = await gateway.connect();
  const moments = [performance.now()];
  await client.event('tick', () => true, 40_000);
  moments.push(performance.now());
  return { client, moments };
})();

describe('a stop', () => {
  it('L-013 every client is told, without an expected restart, before its close frame 1012, and the exit code is 0', async () => {
    const gateway = await start();
    const clients = await Promise.all(Array.from({ length: 5 }, () => gateway.connect()));
    gateway.signal('SIGTERM');
    for (const client of clients) {
      expect(await client.closed).toEqual({ code: 1012, reason: 'service restart' });
      const events = client.events('shutdown');
      expect(events).toHaveLength(1);
      expect(events[0]?.payload).toEqual({ reason: 'gateway stopping' });
      // Frames are kept in the order of their arrival, and the close came after all of them.
      expect(client.frames.filter(({ type }) => type === 'event').at(-1)?.event).toBe('shutdown');
    }
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
  });

  it('L-017 a second SIGTERM changes nothing', async () => {
    const gateway = await start();
    const slow = await silent(gateway);
    const client = await gateway.connect();
    gateway.signal('SIGTERM');
    await client.event('shutdown');
    gateway.signal('SIGTERM');
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
    expect(gateway.log().filter(({ signal }) => signal === 'SIGTERM')).toHaveLength(2);
    expect(client.events('shutdown')).toHaveLength(1);
    expect(await client.closed).toMatchObject({ code: 1012 });
    slow.ws.terminate();
  });

  it('L-017 a second SIGINT exits 130 at once', async () => {
    const codes: (number | null)[] = [];
    // On a busy machine the stop may be over before the second signal gets there; then it is tried again.
    while (codes.at(-1) !== 130 && codes.length < 5) {
      const gateway = await start();
      const slow = await silent(gateway);
      const client = await gateway.connect();
      gateway.signal('SIGINT');
      await client.event('shutdown');
      const from = performance.now();
      gateway.signal('SIGINT');
      const { code } = await gateway.exited;
      codes.push(code);
      if (code === 130) expect(performance.now() - from).toBeLessThan(1_000);
      slow.ws.terminate();
    }
    expect(codes.at(-1)).toBe(130);
    expect(codes.slice(0, -1).filter((code) => code !== 0)).toEqual([]);
  });

  it('L-018 a run in progress at SIGTERM gets its final response with status error before the socket closes', async () => {
    const gateway = await startScripted({ '*': [{ text: 'thinking' }, { hang: true }] });
    const client = await gateway.connect();
    client.send({ type: 'req', id: 'run', method: 'agent', params: runParams('hello', 'key-stop') });
    expect((await client.response('run')).payload.status).toBe('accepted');
    await client.event('agent', (payload) => payload.stream === 'assistant');
    gateway.signal('SIGTERM');
    await client.closed;
    const answers = client.frames.filter(({ type, id }) => type === 'res' && id === 'run');
    expect(answers).toHaveLength(2);
    expect(answers[1]).toMatchObject({ ok: false, payload: { status: 'error' }, error: { code: 'UNAVAILABLE' } });
    expect(client.frames.indexOf(client.events('shutdown')[0] as never)).toBeLessThan(client.frames.indexOf(answers[1] as never));
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
  });

  it.each<[name: string, signals: NodeJS.Signals[], codes: number[]]>([
    ['SIGTERM', ['SIGTERM'], [0]],
    // 0 when the first has done all there was to do.
    ['two SIGINTs', ['SIGINT', 'SIGINT'], [130, 0]],
  ])('L-019 no child process of the gateway outlives it: %s', async (_name, signals, codes) => {
    const gateway = await startScripted(
      { '*': [{ toolCall: { name: 'exec', arguments: { command: 'sleep 300 & sleep 301; wait' } } }], '(tool result)': [{ text: 'done' }] },
      { tools: { exec: { security: 'full' } } },
    );
    const client = await gateway.connect();
    const slow = await silent(gateway);
    client.send({ type: 'req', id: 'run', method: 'agent', params: runParams('work', 'key-work') });
    await eventually(() => descendants(gateway.pid).length >= 3, 'the tool runs');
    const children = descendants(gateway.pid);
    for (const signal of signals) {
      gateway.signal(signal);
      if (signal !== signals.at(-1)) await client.event('shutdown');
    }
    expect(codes).toContain((await gateway.exited).code);
    await eventually(() => !children.some(isAlive), 'every child is gone', 5_000);
    slow.ws.terminate();
  });
});

it('new requests after the announcement are refused as retryable, also while a client dawdles', async () => {
  const gateway = await start();
  const slow = await silent(gateway);
  const client = await gateway.connect();
  gateway.signal('SIGTERM');
  await client.event('shutdown');
  client.send({ type: 'req', id: 'late', method: 'health' });
  await gateway.exited;
  const late = client.frames.find(({ id }) => id === 'late');
  // Either it was refused, or the socket was closed before it was read; it was never served.
  expect(late === undefined || (late.ok === false && late.error?.retryable === true)).toBe(true);
  slow.ws.terminate();
});

it('L-056 an idle connection receives a tick at least every 30 s', { timeout: 60_000 }, async () => {
  const { client, moments } = await idle;
  expect((moments[1] as number) - (moments[0] as number)).toBeLessThan(31_000);
  expect(client.events('tick')[0]?.payload.ts).toBeGreaterThan(0);
  // Nobody asked for anything in between.
  expect(client.frames.filter(({ type }) => type === 'res')).toHaveLength(1);
});
