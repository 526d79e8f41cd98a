/** Which port, which address, and every reason not to start. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Gateway, type GatewayOptions, repository, startGateway, token } from '../support/gateway.ts';
import { allListening, listeningOf } from '../support/processes.ts';

const opened: Gateway[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((gateway) => gateway.close()));
});

async function start(options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await startGateway(options);
  opened.push(gateway);
  return gateway;
}

/** A start that is refused: its exit code and everything it said. */
async function refused(options: GatewayOptions): Promise<{ code: number | null; text: string; gateway: Gateway }> {
  const gateway = await start({ ...options, failing: true });
  const { code } = await gateway.exited;
  return { code, text: gateway.stdout() + gateway.stderr(), gateway };
}

const auth = { mode: 'token', token };
const local = (more: object = {}, gateway: object = {}) => ({ gateway: { mode: 'local', auth, ...gateway }, ...more });

describe('the port', () => {
  it('K-001 --port 19500 listens on 127.0.0.1:19500 and on no other non-loopback address', async () => {
    const gateway = await start({ args: ['--port', '19500'] });
    const sockets = listeningOf(gateway.pid);
    expect(sockets.map(({ address, port }) => `${address}:${port}`)).toContain('127.0.0.1:19500');
    expect(sockets.filter(({ address }) => address !== '127.0.0.1' && address !== '::1')).toEqual([]);
    expect((await (await gateway.connect()).call('health')).ok).toBe(true);
  });

  it('K-002 flag, then environment, then file, then 18789', async () => {
    const env = { OPENCLAW_GATEWAY_PORT: '19501' };
    const config = local({}, { port: 19_502 });
    const ways: [GatewayOptions, number][] = [
      [{ config, env, args: ['--port', '19500'] }, 19_500],
      [{ config, env }, 19_501],
      [{ config, env: { OPENCLAW_GATEWAY_PORT: '' } }, 19_502],
      [{ config: local(), env: { OPENCLAW_GATEWAY_PORT: '' } }, 18_789],
    ];
    for (const [options, port] of ways) {
      const gateway = await start(options);
      expect(listeningOf(gateway.pid).map((socket) => socket.port)).toEqual(expect.arrayContaining([port]));
      expect(new Set(listeningOf(gateway.pid).map((socket) => socket.port))).toEqual(new Set([port]));
      await gateway.close();
    }
  });

  it('K-003 an empty OPENCLAW_GATEWAY_PORT is unset, and a wrong one exits 78', async () => {
    const gateway = await start({ config: local({}, { port: 19_503 }), env: { OPENCLAW_GATEWAY_PORT: '' } });
    expect(gateway.port).toBe(19_503);
    const { code, text } = await refused({ env: { OPENCLAW_GATEWAY_PORT: 'abc' } });
    expect(code).toBe(78);
    expect(text).toContain('OPENCLAW_GATEWAY_PORT');
  });

  it.each(['0', '70000', '-1', '80.5', 'abc'])('K-004 --port %s exits 2 and names the allowed range', async (port) => {
    const { code, text } = await refused({ args: [`--port=${port}`], env: { OPENCLAW_TEST: undefined } });
    expect(code).toBe(2);
    expect(text).toMatch(/from 1 to 65535/);
  });

  it('K-005 --bind everywhere exits 2 and lists the five modes', async () => {
    const { code, text } = await refused({ args: ['--bind', 'everywhere'] });
    expect(code).toBe(2);
    for (const mode of ['loopback', 'lan', 'tailnet', 'auto', 'custom']) expect(text).toContain(mode);
  });

  it('K-065 one command and no second listener, also with an old bridge block', async () => {
    const { bin } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { bin: Record<string, string> };
    expect(Object.keys(bin)).toEqual(['openclaw']);
    const bridge = { enabled: true, port: 19_505, bind: 'loopback' };
    const gateway = await start({
      config: local({ bridge }, { port: 19_504, controlPort: 18_000 }),
      args: ['--allow-unconfigured'],
      env: { OPENCLAW_GATEWAY_PORT: '' },
    });
    expect(gateway.port).toBe(19_504);
    expect(new Set(listeningOf(gateway.pid).map(({ port }) => port))).toEqual(new Set([19_504]));
    // A soft restart opens nothing more either.
    gateway.signal('SIGUSR1');
    await gateway.printed(/SIGUSR1 ignored|ready again/);
    expect(new Set(listeningOf(gateway.pid).map(({ port }) => port))).toEqual(new Set([19_504]));
  });
});

describe('a start that is refused', () => {
  it('K-006 without a config file: 78, pointing to setup and the flag; with the flag and a token it starts', async () => {
    const { code, text } = await refused({ config: null });
    expect(code).toBe(78);
    expect(text).toContain('openclaw setup');
    expect(text).toContain('--allow-unconfigured');
    const gateway = await start({ config: null, args: ['--allow-unconfigured'], env: { OPENCLAW_GATEWAY_TOKEN: token } });
    expect((await (await gateway.connect()).call('health')).ok).toBe(true);
  });

  it('K-007 gateway.mode remote exits 78 although --allow-unconfigured is given', async () => {
    const { code, text } = await refused({ config: { gateway: { mode: 'remote', auth } }, args: ['--allow-unconfigured'] });
    expect(code).toBe(78);
    expect(text).toContain('mode-remote');
  });

  it.each<[name: string, env: Record<string, string>, more: string[]]>([
    ['K-008 no token and no password', {}, []],
    ['K-008 no token and no password, on loopback by name', {}, ['--bind', 'loopback']],
    ['K-009 an empty OPENCLAW_GATEWAY_TOKEN and no token in the file', { OPENCLAW_GATEWAY_TOKEN: '' }, []],
  ])('%s: exit 78 with auth-token-missing', async (_name, env, args) => {
    const { code, text, gateway } = await refused({ config: { gateway: { mode: 'local' } }, env, args });
    expect(code).toBe(78);
    expect(text).toContain('auth-token-missing');
    // The record `gateway status` looks for by its code.
    expect(gateway.log().filter(({ level }) => level === 'fatal')).toMatchObject([{ code: 'auth-token-missing' }]);
  });

  it('K-010 gateway.token instead of gateway.auth.token: the message names the right key', async () => {
    const { code, text } = await refused({ config: { gateway: { mode: 'local', token } } });
    expect(code).toBe(78);
    expect(text).toContain('gateway.auth.token');
    expect(text).not.toContain(token);
  });

  it('K-011 --bind lan without a secret, or with a short one, exits 78', async () => {
    expect((await refused({ config: { gateway: { mode: 'local' } }, args: ['--bind', 'lan'] })).code).toBe(78);
    const short = await refused({ config: { gateway: { mode: 'local', auth: { token: 'fifteen-letters' } } }, args: ['--bind', 'lan'] });
    expect(short.code).toBe(78);
    expect(short.text).toContain('auth-weak');
  });

  it('L-009 a configuration that cannot be used exits 78 at every attempt, with its code, and never listens', async () => {
    const ways: [config: NonNullable<GatewayOptions['config']>, code: string][] = [
      ['{ gateway: { mode: "local", ', 'config-invalid'],
      [{ gateway: { mode: 'local' } }, 'auth-token-missing'],
      [{ gateway: { mode: 'remote', auth } }, 'mode-remote'],
    ];
    for (const [config, expected] of ways) {
      const first = await refused({ config, args: ['--port', '19506'] });
      for (const attempt of [first, await again(first.gateway), await again(first.gateway)]) {
        expect(attempt.code).toBe(78);
        expect(attempt.text).toContain(expected);
        expect(attempt.text).not.toContain('listening on');
      }
    }
  });

  async function again(gateway: Gateway) {
    const next = await gateway.again({ failing: true, config: readFileSync(gateway.configPath, 'utf8') });
    opened.push(next);
    return { code: (await next.exited).code, text: next.stdout() + next.stderr() };
  }

  it('K-013 --bind custom with an address this machine has not exits 78, and nothing ever listens', async () => {
    const config = { gateway: { mode: 'local', auth, customBindHost: '192.0.2.77' } };
    const seen = new Set<string>();
    const sampler = setInterval(() => {
      for (const { address, port } of allListening()) if (port === 19_507) seen.add(address);
    }, 2);
    const { code, text } = await refused({ config, args: ['--bind', 'custom', '--port', '19507'] });
    clearInterval(sampler);
    expect(code).toBe(78);
    expect([...seen]).toEqual([]);
    expect(text).toContain('bind-unavailable');
    expect(text).not.toContain('listening on');
  });

  it('L-003 a start leaves the config file as it is, whatever is in it', async () => {
    const texts = [
      JSON.stringify(local()),
      `// mine\n{ gateway: { mode: 'local', auth: { token: '${token}' } }, /* old */ bridge: { enabled: true }, unknown: 1, }\n`,
      '{ gateway: { mode: "local", ',
      JSON.stringify({ gateway: { mode: 'remote' } }),
    ];
    for (const text of texts) {
      const gateway = await start({ config: text, failing: true, args: ['--port', '0'] });
      await Promise.race([gateway.printed(/\] ready/), gateway.exited]);
      if (gateway.child.exitCode === null) await gateway.stop();
      expect(readFileSync(gateway.configPath, 'utf8')).toBe(text);
    }
  });

  it('exits 74 when the state directory cannot be made', async () => {
    const gateway = await start();
    await gateway.stop();
    writeFileSync(join(gateway.home, 'a-file'), '');
    const { code, text } = await refused({
      env: { OPENCLAW_STATE_DIR: join(gateway.home, 'a-file', 'state'), OPENCLAW_CONFIG_PATH: gateway.configPath },
    });
    expect(code).toBe(74);
    expect(text).toContain('state-unwritable');
  });

  it('exits 74 when the store is not a store', async () => {
    const gateway = await start();
    await gateway.stop();
    writeFileSync(join(gateway.stateDir, 'gateway.db'), 'this is no database, not even a small one'.repeat(200));
    const next = await gateway.again({ failing: true, args: ['--port', '0'] });
    opened.push(next);
    expect((await next.exited).code).toBe(74);
    expect(next.stderr()).toContain('store-unavailable');
  });

  it('exits 74 when the lock cannot be opened', async () => {
    const gateway = await start();
    await gateway.stop();
    mkdirSync(join(gateway.home, 'other', 'gateway.lock'), { recursive: true });
    const { code, text } = await refused({
      env: { OPENCLAW_STATE_DIR: join(gateway.home, 'other'), OPENCLAW_CONFIG_PATH: gateway.configPath },
      args: ['--port', '0'],
    });
    expect(code).toBe(74);
    expect(text).toContain('state-unwritable');
  });
});
