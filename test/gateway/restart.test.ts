/** Soft restarts as clients, the kernel and a shell loop see them. */
import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanEnv, defaultConfig, type Gateway, repository, startGateway, temporaryHome } from '../support/gateway.ts';
import { allListening, descendants, eventually, freePort, isAlive, listeningOf, processes } from '../support/processes.ts';
import { goodConnect, openRaw } from '../support/raw-client.ts';

const listenersOf = (gateway: Gateway) =>
  listeningOf(gateway.pid)
    .map(({ inode, port }) => `${port}:${inode}`)
    .sort();

async function generationOf(gateway: Gateway): Promise<number> {
  const client = await gateway.connect();
  const { payload } = await client.request('health');
  client.close();
  // Between the announcement and the close there is no answer.
  return payload?.generation ?? 0;
}

/** Waits for the generation that follows a restart; asking is allowed all the while. */
const reaches = (gateway: Gateway, generation: number) =>
  eventually(async () => (await generationOf(gateway)) === generation, `generation ${generation}`);

describe('one restart', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway();
  });
  afterAll(() => gateway.close());

  it('L-021 SIGUSR1 with commands.restart: announced, same PID and listener, next generation', async () => {
    const client = await gateway.connect();
    const before = listenersOf(gateway);
    expect(before.length).toBeGreaterThan(0);
    expect((await client.call('health')).generation).toBe(1);
    gateway.signal('SIGUSR1');
    expect(await client.closed).toEqual({ code: 1012, reason: 'service restart' });
    expect(client.events('shutdown').map(({ payload }) => payload)).toEqual([{ reason: 'gateway restarting', restartExpectedMs: 1_500 }]);
    await reaches(gateway, 2);
    expect(listenersOf(gateway)).toEqual(before);
    expect(isAlive(gateway.pid)).toBe(true);
    expect(gateway.child.exitCode).toBeNull();
    expect(gateway.stdout().match(/listening on/g)).toHaveLength(before.length);
  });

  it('L-023 whoever connects at any moment of a soft restart is served within 10 s, and nobody is refused', async () => {
    const times: number[] = [];
    let isOver = false;
    const visitor = async () => {
      while (!isOver) {
        const from = performance.now();
        // Throws when the connection is refused, or closed before it is greeted.
        const client = await openRaw(gateway.url);
        const hello = await client.hello(goodConnect());
        expect(hello.ok).toBe(true);
        times.push(performance.now() - from);
        client.close();
      }
    };
    const visitors = Array.from({ length: 8 }, visitor);
    gateway.signal('SIGUSR1');
    await gateway.printed(/ready again[\s\S]*ready again/);
    await new Promise((resolve) => setTimeout(resolve, 50));
    isOver = true;
    await Promise.all(visitors);
    expect(times.length).toBeGreaterThan(10);
    expect(Math.max(...times)).toBeLessThan(10_000);
  });

  it('the log is one file and says under which generation each line was written', async () => {
    await eventually(() => gateway.log().some(({ generation }) => generation === 3), 'the newest lines');
    const generations = gateway.log().map(({ generation }) => generation as number);
    expect(new Set(generations)).toEqual(new Set([0, 1, 2, 3]));
    expect(generations).toEqual([...generations].sort((a, b) => a - b));
  });
});

it('L-020 SIGUSR1 without commands.restart: one warning, and PID, generation and sockets unchanged', async () => {
  const gateway = await startGateway({ config: { ...defaultConfig, commands: { restart: false } } });
  try {
    const client = await gateway.connect();
    const before = listenersOf(gateway);
    gateway.signal('SIGUSR1');
    await gateway.printed('SIGUSR1 ignored');
    const health = await client.call('health');
    expect(health.generation).toBe(1);
    expect(listenersOf(gateway)).toEqual(before);
    expect(isAlive(gateway.pid)).toBe(true);
    expect(client.events('shutdown')).toEqual([]);
    await eventually(() => gateway.log().some(({ level }) => level === 'warn'), 'the warning is written');
    const warnings = gateway.log().filter(({ level }) => level === 'warn');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]?.['message']).toContain('commands.restart');
  } finally {
    await gateway.close();
  }
});

it('L-028 a run in progress may finish before the restart, and work that arrives meanwhile completes afterwards', async () => {
  const home = temporaryHome();
  const script = join(home, 'script.json');
  writeFileSync(script, JSON.stringify({ long: [{ text: 'almost ' }, { delayMs: 600 }, { text: 'done' }], late: [{ text: 'after it' }] }));
  const gateway = await startGateway({ home, config: { ...defaultConfig, agents: { defaults: { model: `openclaw/script:${script}` } } } });
  try {
    const client = await gateway.connect();
    client.send({ type: 'req', id: 'long', method: 'agent', params: { message: 'long', agentId: 'main', idempotencyKey: 'long' } });
    await client.event('agent', (payload) => payload.stream === 'assistant');
    gateway.signal('SIGUSR1');
    await eventually(async () => (await client.call('health')).phase === 'draining', 'draining');
    client.send({ type: 'req', id: 'late', method: 'agent', params: { message: 'late', agentId: 'main', idempotencyKey: 'late' } });
    expect((await client.response('late')).payload.status).toBe('accepted');
    const [, final] = await client.stages('long');
    expect(final).toMatchObject({ ok: true, payload: { status: 'ok' } });
    await client.closed;
    await reaches(gateway, 2);
    const next = await gateway.connect();
    expect(await next.call('agent.wait', { runId: 'late', timeoutMs: 5_000 })).toMatchObject({ status: 'ok' });
    next.close();
  } finally {
    await gateway.close();
  }
});

it('L-029 a hung run is aborted at the drain limit and the restart takes place', async () => {
  const home = temporaryHome();
  const script = join(home, 'script.json');
  writeFileSync(script, JSON.stringify({ '*': [{ text: 'and then ' }, { hang: true }] }));
  const gateway = await startGateway({
    home,
    env: { OPENCLAW_RESTART_DRAIN_MS: '1000' },
    config: { ...defaultConfig, agents: { defaults: { model: `openclaw/script:${script}` } } },
  });
  try {
    const client = await gateway.connect();
    client.send({ type: 'req', id: 'run', method: 'agent', params: { message: 'x', agentId: 'main', idempotencyKey: 'hung' } });
    await client.event('agent', (payload) => payload.stream === 'assistant');
    gateway.signal('SIGUSR1');
    const [, final] = await client.stages('run');
    expect(final).toMatchObject({ ok: false, payload: { status: 'error' } });
    await reaches(gateway, 2);
  } finally {
    await gateway.close();
  }
});

describe('F-02', () => {
  it('F-02 soft restarts under load: same PID, same listener, everybody served, no new process', { timeout: 60_000 }, async () => {
    // Five restarts in a minute are what one gateway allows, so several take part.
    const gateways = await Promise.all([startGateway(), startGateway(), startGateway()]);
    try {
      const before = gateways.map(listenersOf);
      await Promise.all(
        gateways.map(async (gateway) => {
          let isOver = false;
          let served = 0;
          const visitors = Array.from({ length: 4 }, async () => {
            while (!isOver) {
              const client = await openRaw(gateway.url);
              expect((await client.hello(goodConnect())).ok).toBe(true);
              served += 1;
              client.close();
            }
          });
          for (let generation = 2; generation <= 6; generation += 1) {
            gateway.signal('SIGUSR1');
            await reaches(gateway, generation);
          }
          isOver = true;
          await Promise.all(visitors);
          expect(served).toBeGreaterThan(5);
          expect(gateway.child.exitCode).toBeNull();
          expect(gateway.stdout() + gateway.stderr()).not.toContain('EADDRINUSE');
        }),
      );
      expect(gateways.map(listenersOf)).toEqual(before);
      expect(gateways.flatMap(({ pid }) => descendants(pid))).toEqual([]);
      // The sixth in a minute waits, and says so; the gateway serves meanwhile.
      const [first] = gateways;
      first?.signal('SIGUSR1');
      await first?.printed(/more than 5 restarts in a minute/);
      expect(await generationOf(first as Gateway)).toBe(6);
    } finally {
      await Promise.all(gateways.map((gateway) => gateway.close()));
    }
  });

  it('F-02 under a naive shell loop and SIGKILL at random moments there is at most one listener at every sample', {
    timeout: 60_000,
  }, async () => {
    const home = temporaryHome();
    const port = await freePort();
    const launcher = join(repository, 'bin', 'openclaw.mjs');
    const env = cleanEnv(home, { OPENCLAW_GATEWAY_TOKEN: 'a-token-of-the-loop-0123456789' });
    const loop = spawn(
      '/bin/sh',
      ['-c', `while :; do "${process.execPath}" "${launcher}" gateway --allow-unconfigured --port ${port} >>out.txt 2>&1; done`],
      {
        env,
        cwd: home,
        stdio: 'ignore',
      },
    );
    const ownerOf = () => processes().find(({ parent, command }) => parent === loop.pid && command.includes('gateway'))?.pid;
    const inodes = () =>
      allListening()
        .filter((socket) => socket.port === port && socket.address === '127.0.0.1')
        .map(({ inode }) => inode);
    const samples: number[] = [];
    const sampler = setInterval(() => void samples.push(inodes().length), 5);
    let lives = 0;
    try {
      for (let round = 0; round < 12; round += 1) {
        await eventually(() => ownerOf() !== undefined, 'the loop started a gateway');
        // From the first instruction to well after it serves.
        await new Promise((resolve) => setTimeout(resolve, 20 + ((round * 137) % 600)));
        const pid = ownerOf();
        if (pid === undefined) continue;
        if (inodes().length > 0) lives += 1;
        process.kill(pid, 'SIGKILL');
        await eventually(() => !isAlive(pid), 'it is gone');
      }
      // The last one comes up as if nothing had been.
      await eventually(() => inodes().length === 1, 'one listener');
    } finally {
      clearInterval(sampler);
      const last = ownerOf();
      loop.kill('SIGKILL');
      await eventually(() => loop.pid === undefined || !isAlive(loop.pid), 'the loop is gone');
      for (const pid of [
        last,
        ...processes()
          .filter(({ command }) => command.includes(`--port ${port}`))
          .map(({ pid: own }) => own),
      ]) {
        if (pid !== undefined && isAlive(pid)) process.kill(pid, 'SIGKILL');
      }
      await eventually(() => inodes().length === 0, 'no listener is left');
      rmSync(home, { recursive: true, force: true, maxRetries: 3 });
    }
    expect(lives).toBeGreaterThan(0);
    expect(samples.length).toBeGreaterThan(50);
    expect(Math.max(...samples)).toBe(1);
  });
});
