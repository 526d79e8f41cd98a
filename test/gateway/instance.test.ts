/** One gateway per state, whoever races, crashes or came first, and what a signal does while it is being started. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { isStateOwned } from '../../src/cli/lock-check.ts';
import { startBlackHole } from '../fakes/model-servers/black-hole.ts';
import { cleanEnv, defaultConfig, type Gateway, type GatewayOptions, repository, startGateway } from '../support/gateway.ts';
import { freePort, listeningOf } from '../support/processes.ts';

const opened: Gateway[] = [];
// Some of these wait for five seconds and do nothing: they do it at the same time.
afterAll(async () => {
  await Promise.all(opened.splice(0).map((gateway) => gateway.close()));
});

async function start(options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await startGateway(options);
  opened.push(gateway);
  return gateway;
}

const next = async (gateway: Gateway, options: GatewayOptions) => {
  const started = await gateway.again(options);
  opened.push(started);
  return started;
};

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('the lock', () => {
  it.concurrent('L-006 K-019 a second start on one state exits 75 within 6 s, names the holder, and the first serves on', async () => {
    const first = await start();
    const client = await first.connect();
    const from = performance.now();
    const second = await next(first, { failing: true, args: ['--port', '0'] });
    expect(await second.exited).toEqual({ code: 75, signal: null });
    expect(performance.now() - from).toBeLessThan(6_000);
    expect(second.stderr()).toContain('lock-held');
    expect(second.stderr()).toContain(`PID ${first.pid}`);
    expect(second.stderr()).toContain('openclaw gateway stop');
    expect(second.log().filter(({ level }) => level === 'fatal')).toMatchObject([{ code: 'lock-held' }]);
    expect((await client.call('health')).ok).toBe(true);
    expect((await (await first.connect()).call('health')).ok).toBe(true);
  });

  it('L-006 of 100 starts that race for one state exactly one wins', { timeout: 120_000 }, async () => {
    const { home, stop } = await start();
    await stop();
    const env = cleanEnv(home);
    const args = [join(repository, 'bin', 'openclaw.mjs'), 'gateway', '--port', '0'];
    const racers = Array.from({ length: 100 }, () => {
      // A hundred at once are a load: they stand back for whatever else is being tested.
      const child = spawn('nice', ['-n', '19', process.execPath, ...args], { env, cwd: home, stdio: ['ignore', 'pipe', 'ignore'] });
      const racer = { child, isServing: false, exited: new Promise<number | null>((resolve) => child.once('close', resolve)) };
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        if (text.includes('listening on')) racer.isServing = true;
      });
      return racer;
    });
    // All but one give up by themselves; the winner is still there when the last of them has.
    const ended: (number | null)[] = [];
    await new Promise<void>((resolve) => {
      for (const { exited } of racers) {
        void exited.then((code) => {
          ended.push(code);
          if (ended.length === racers.length - 1) resolve();
        });
      }
    });
    expect(racers.filter(({ isServing }) => isServing)).toHaveLength(1);
    expect(ended).toEqual(Array.from({ length: 99 }, () => 75));
    const winner = racers.find(({ child }) => child.exitCode === null);
    expect(winner?.isServing).toBe(true);
    winner?.child.kill('SIGTERM');
    expect(await winner?.exited).toBe(0);
  });

  it('L-007 after a SIGKILL of the holder the next start takes less than a second, also when its PID is alive again', async () => {
    let gateway = await start();
    let best = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < 4 && best >= 1_000; attempt += 1) {
      await gateway.kill();
      const info = join(gateway.stateDir, 'gateway.lock.json');
      const left = JSON.parse(readFileSync(info, 'utf8')) as { pid: number };
      expect(left.pid).toBe(gateway.pid);
      // The same number again, and this time it lives: the lock is the kernel's and does not care.
      writeFileSync(info, JSON.stringify({ ...left, pid: process.pid }));
      gateway = await next(gateway, {});
      best = Math.min(best, Number(/ready {2}ms=(\d+)/.exec(gateway.stdout())?.[1]));
      expect((await (await gateway.connect()).call('health')).ok).toBe(true);
    }
    expect(best).toBeLessThan(1_000);
  });

  it.concurrent('two gateways that share a config file outside their states: the second exits 75', async () => {
    const first = await start({ env: { OPENCLAW_CONFIG_PATH: undefined } });
    const shared = join(first.home, 'shared.json');
    await first.stop();
    writeFileSync(shared, JSON.stringify(defaultConfig));
    const env = (name: string) => ({ OPENCLAW_CONFIG_PATH: shared, OPENCLAW_STATE_DIR: join(first.home, name) });
    const one = await next(first, { env: env('a') });
    const two = await next(first, { env: env('b'), failing: true, args: ['--port', '0'] });
    expect((await two.exited).code).toBe(75);
    expect(two.stderr()).toContain(`PID ${one.pid}`);
    // What it held of its own it has given back.
    expect(await isStateOwned(join(first.home, 'b'))).toBe(false);
  });
});

it('L-008 a foreign listener on the port gives exit 75 and a line with its PID and command', async () => {
  const foreign = createServer();
  await new Promise<void>((resolve) => foreign.listen(0, '127.0.0.1', resolve));
  const { port } = foreign.address() as { port: number };
  try {
    const gateway = await start({ failing: true, args: ['--port', String(port)] });
    expect((await gateway.exited).code).toBe(75);
    const line = gateway
      .stderr()
      .split('\n')
      .find((text) => text.includes('port-in-use'));
    expect(line).toContain(`PID ${process.pid}`);
    expect(line).toMatch(/node/);
  } finally {
    foreign.close();
  }
});

it('L-002 a channel that hangs in connect delays neither hello-ok nor health', async () => {
  const hole = await startBlackHole();
  try {
    const telegram = { enabled: true, botToken: '1234567890:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw', apiRoot: `http://127.0.0.1:${hole.port}` };
    const gateway = await start({ ready: false, config: { ...defaultConfig, channels: { telegram } } });
    const client = await gateway.connect();
    const health = await client.call('health');
    expect(health.ok).toBe(true);
    // The start comes to its end, too, and the channel still hangs.
    await gateway.printed(/\] ready/);
    const later = await client.call('health', { probe: true });
    expect(later.phase).toMatch(/^running/);
    expect(later.channels.telegram.state).toBe('connecting');
  } finally {
    await hole.close();
  }
});

describe('signals while it starts', () => {
  it('L-004 K-064 a SIGTERM at any moment of the start ends it with 0 or 143, with 0 once it handles signals, and leaves no lock', async () => {
    const first = await start();
    await first.stop();
    const codes: (number | string | null)[] = [];
    for (const ms of [10, 10, 10, 40, 80, 120, 160, 200, 260, 320]) {
      const gateway = await next(first, { failing: true, args: ['--port', '0'] });
      await pause(ms);
      gateway.signal('SIGTERM');
      const { code, signal } = await gateway.exited;
      codes.push(signal ?? code);
      expect([0, 143, 'SIGTERM']).toContain(signal ?? code);
      // Whoever said anything had its handlers by then.
      if (gateway.stdout() !== '') expect(code).toBe(0);
      expect(await isStateOwned(first.stateDir)).toBe(false);
      expect(existsSync(join(first.stateDir, 'gateway.lock.json'))).toBe(false);
    }
    const last = await next(first, {});
    expect(await last.stop()).toEqual({ code: 0, signal: null });
    expect(await isStateOwned(first.stateDir)).toBe(false);
  });

  it('L-005 a SIGUSR1 at any moment of the start leaves no debugger behind, and is not forgotten', async () => {
    const home = await start({ config: { ...defaultConfig, commands: { restart: false } } });
    await home.stop();
    for (const ms of [0, 10, 20, 30, 40, 60, 90, 130, 180, 240]) {
      const gateway = await next(home, { failing: true, args: ['--port', '0'] });
      await pause(ms);
      gateway.signal('SIGUSR1');
      await Promise.race([gateway.printed(/\] ready/), gateway.exited]);
      // Before Node itself knows the signal it simply ends the process.
      if (gateway.child.signalCode !== null) continue;
      await gateway.printed('SIGUSR1 ignored');
      const own = [Number(/listening on ws:\/\/127.0.0.1:(\d+)/.exec(gateway.stdout())?.[1])];
      // Node opens its debugger in a thread of its own, at the latest in the first turn of the event loop.
      const ports = () => [...new Set(listeningOf(gateway.pid).map(({ port }) => port))];
      await expect.poll(ports, { timeout: 2_000 }).toEqual(own);
      await gateway.stop();
    }
  });

  it('L-005 with --disable-sigusr1 not even Node opens its debugger', async () => {
    const port = await freePort();
    const gateway = await start();
    await gateway.stop();
    const args = ['--disable-sigusr1', join(repository, 'bin', 'openclaw.mjs'), 'gateway', '--port', String(port)];
    for (const ms of [30, 60, 100, 150, 200]) {
      const child = spawn(process.execPath, args, { env: cleanEnv(gateway.home), cwd: gateway.home, stdio: ['ignore', 'pipe', 'pipe'] });
      let text = '';
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      const closed = new Promise((resolve) => child.once('close', resolve));
      await pause(ms);
      child.kill('SIGUSR1');
      await pause(150);
      child.kill('SIGTERM');
      await closed;
      expect(text).not.toContain('Debugger');
    }
  });
});
