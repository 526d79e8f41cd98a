/** What people type against a running gateway, and against none. */
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { cleanEnv, defaultConfig, type Gateway, repository, runCli, startGateway, temporaryHome, watchOutput } from '../support/gateway.ts';
import { eventually, freePort } from '../support/processes.ts';

let gateway: Gateway;
let deadPort: string;
beforeAll(async () => {
  const home = temporaryHome();
  const script = join(home, 'script.json');
  writeFileSync(
    script,
    JSON.stringify({
      hello: [{ chunks: ['one ', 'two ', 'three'], everyMs: 100 }],
      broken: [{ error: 'the model is out of order' }],
      slow: [{ text: 'thinking' }, { hang: true }],
    }),
  );
  gateway = await startGateway({
    home,
    config: { ...defaultConfig, channels: { whatsapp: { enabled: true } }, agents: { defaults: { model: `openclaw/script:${script}` } } },
  });
  deadPort = String(await freePort());
});
afterAll(() => gateway.close());

const down = () => ({ OPENCLAW_GATEWAY_PORT: deadPort });
const parse = (text: string) => JSON.parse(text) as Record<string, unknown>;

describe('gateway call and health', () => {
  it('K-042 gateway call health prints the same document as health --json apart from ts and durationMs', async () => {
    // Presence and sessions of two commands differ by nothing that `health` shows.
    const [called, asked] = [await gateway.cli(['gateway', 'call', 'health', '--params', '{}']), await gateway.cli(['health', '--json'])];
    expect([called.code, asked.code]).toEqual([0, 0]);
    expect(comparable(parse(called.stdout))).toEqual(comparable(parse(asked.stdout)));
  });

  it('K-072 gateway health --json equals health --json, and --url sends both to that address only', async () => {
    const [long, short] = [await gateway.cli(['gateway', 'health', '--json']), await gateway.cli(['health', '--json'])];
    expect(comparable(parse(long.stdout))).toEqual(comparable(parse(short.stdout)));
    for (const command of [['gateway', 'health'], ['health']]) {
      const there = await gateway.cli([...command, '--json', '--url', gateway.url], { env: down() });
      expect(there.code).toBe(0);
      expect(parse(there.stdout)['ok']).toBe(true);
      // The running gateway is one port away and is not asked.
      const nowhere = await gateway.cli([...command, '--json', '--url', `ws://127.0.0.1:${deadPort}`]);
      expect(nowhere.code).toBe(1);
      expect(nowhere.stderr).toContain(`ws://127.0.0.1:${deadPort} (cli --url)`);
    }
  });

  it('K-043 an unknown method prints INVALID_REQUEST and exits 1; --params that are no object exit 2', async () => {
    const unknown = await gateway.cli(['gateway', 'call', 'nope', '--json']);
    expect(unknown.code).toBe(1);
    expect(parse(unknown.stdout)).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
    for (const params of ['[]', '3', 'null', '{'])
      expect((await gateway.cli(['gateway', 'call', 'health', '--params', params])).code).toBe(2);
  });

  it('gateway call takes parameters from a file and from stdin', async () => {
    writeFileSync(join(gateway.home, 'params.json'), '{"sessionKey":"main"}');
    expect((await gateway.cli(['gateway', 'call', 'chat.history', '--params', '@params.json', '--json'])).code).toBe(0);
    expect(
      (await gateway.cli(['gateway', 'call', 'chat.history', '--params', '-', '--json'], { input: '{"sessionKey":"main"}' })).code,
    ).toBe(0);
    expect((await gateway.cli(['gateway', 'call', 'chat.history', '--params', '@nowhere'])).code).toBe(2);
  });

  it('K-044 health --json holds ok, linkChannel, channels and sessions; unreachable it exits 1', async () => {
    const up = await gateway.cli(['health', '--json']);
    expect(parse(up.stdout)).toMatchObject({
      ok: true,
      linkChannel: { id: 'whatsapp', linked: false, authAgeMs: null },
      channels: expect.any(Object),
      sessions: { count: expect.any(Number), recent: expect.any(Array) },
    });
    const gone = await gateway.cli(['health', '--json'], { env: down() });
    expect(gone.code).toBe(1);
    expect(parse(gone.stdout)).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE' } });
    expect(gone.stderr).toContain('ECONNREFUSED');
  });

  it('K-045 status exits 0 with the gateway down and says unreachable, in JSON too', async () => {
    const human = await gateway.cli(['status'], { env: down() });
    expect(human.code).toBe(0);
    expect(human.stdout).toContain('unreachable');
    const machine = await gateway.cli(['status', '--json'], { env: down() });
    expect(machine.code).toBe(0);
    expect(parse(machine.stdout)).toMatchObject({ schemaVersion: 1, gateway: { reachable: false, urlSource: 'local loopback' } });
    const up = await gateway.cli(['status', '--json']);
    expect(parse(up.stdout)).toMatchObject({ gateway: { reachable: true, phase: expect.stringMatching(/^running/) } });
  });
});

const comparable = ({ ts: _ts, durationMs: _durationMs, ...rest }: Record<string, unknown>) => rest;

/** Goes with its test. */
function ownHome(): string {
  const home = temporaryHome();
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

describe('message send', () => {
  it('K-049 with the gateway down it fails within 2 s with 1, and no file is written', async () => {
    const home = ownHome();
    const before = filesBelow(home);
    const { code, stderr, ms } = await runCli(['message', 'send', '--target', '+15550001', '--message', 'hi'], { home, env: down() });
    expect(code).toBe(1);
    expect(stderr).toContain('ECONNREFUSED');
    expect(ms).toBeLessThan(2_000);
    // The folder of the test itself is all there is.
    expect(filesBelow(home)).toEqual([...before, 'tmp'].sort());
  });
});

function filesBelow(folder: string): string[] {
  return (readdirSync(folder, { recursive: true }) as string[]).sort();
}

describe('agent', () => {
  it('K-052 it prints nothing before the final response and exits 0', async () => {
    const child = spawn(process.execPath, [join(repository, 'bin', 'openclaw.mjs'), 'agent', '--message', 'hello', '--to', '+15550001'], {
      env: cleanEnv(gateway.home, { OPENCLAW_GATEWAY_PORT: String(gateway.port) }),
      cwd: gateway.home,
    });
    const observer = await gateway.connect();
    const output = watchOutput(child);
    const first: string[] = [];
    child.stdout.once('data', () => first.push(...observer.frames.map(({ payload }) => payload?.data?.phase ?? payload?.state ?? '')));
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code).toBe(0);
    expect(output.stdout()).toBe('one two three\n');
    // When the first byte came the run was over, and others had seen it stream.
    expect(first).toContain('end');
    expect(observer.events('agent').filter(({ payload }) => payload.stream === 'assistant').length).toBeGreaterThan(1);
    observer.close();
  });

  it('K-052 a run that fails exits 1, and one that takes too long reports AGENT_TIMEOUT', async () => {
    const failed = await gateway.cli(['agent', '--message', 'broken', '--to', '+15550001']);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('out of order');
    const late = await gateway.cli(['agent', '--message', 'slow', '--agent', 'main', '--timeout', '1', '--json']);
    expect(late.code).toBe(1);
    expect(parse(late.stdout)).toMatchObject({ ok: false, error: { code: 'AGENT_TIMEOUT' }, runId: expect.any(String) });
  });

  it('K-053 without a conversation it exits 2, with the gateway down 1, and --local beside a gateway 75', async () => {
    expect((await gateway.cli(['agent', '--message', 'hello'])).code).toBe(2);
    const home = ownHome();
    const gone = await runCli(['agent', '--message', 'hello', '--agent', 'main'], { home, env: down() });
    expect(gone.code).toBe(1);
    expect(gone.stdout).toBe('');
    // No model ran here: there is no state it could have run on.
    expect(filesBelow(home)).toEqual(['tmp']);
    const before = await sessions();
    const local = await gateway.cli(['agent', '--message', 'hello', '--agent', 'main', '--local']);
    expect(local.code).toBe(75);
    expect(local.stderr).toContain(gateway.stateDir);
    expect(await sessions()).toEqual(before);
  });

  const sessions = async () => parse((await gateway.cli(['gateway', 'call', 'sessions.list', '--json'])).stdout)['count'];

  it('K-054 Ctrl-C aborts the run in the gateway within 5 s and exits 130', async () => {
    const observer = await gateway.connect();
    const args = [
      join(repository, 'bin', 'openclaw.mjs'),
      'agent',
      '--message',
      'slow',
      '--agent',
      'main',
      '--idempotency-key',
      'interrupted',
    ];
    const child = spawn(process.execPath, args, {
      env: cleanEnv(gateway.home, { OPENCLAW_GATEWAY_PORT: String(gateway.port) }),
      cwd: gateway.home,
    });
    const closed = new Promise((resolve) => child.once('close', resolve));
    await observer.event('agent', ({ runId, stream }) => runId === 'interrupted' && stream === 'assistant');
    const from = performance.now();
    child.kill('SIGINT');
    await observer.event('agent', ({ runId, data }) => runId === 'interrupted' && data.phase === 'end' && data.aborted === true);
    expect(performance.now() - from).toBeLessThan(5_000);
    expect(await closed).toBe(130);
    // It has ended, whatever its end is called.
    expect((await observer.call('agent.wait', { runId: 'interrupted', timeoutMs: 5_000 })).status).not.toBe('timeout');
    observer.close();
  });

  it('a command whose reader has seen enough ends with 0 and says nothing', async () => {
    const line = `"${process.execPath}" "${join(repository, 'bin', 'openclaw.mjs')}" inspect tree | head -1`;
    const child = spawn('/bin/bash', ['-c', `${line}; exit \${PIPESTATUS[0]}`], {
      env: cleanEnv(gateway.home, { OPENCLAW_GATEWAY_PORT: String(gateway.port) }),
      cwd: gateway.home,
    });
    const output = watchOutput(child);
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
    expect(output.stderr()).toBe('');
    expect(output.stdout().split('\n')).toHaveLength(2);
  });
});

it('no command left a connection or a file of the gateway behind', async () => {
  await eventually(async () => {
    const observer = await gateway.connect();
    const presence = (await observer.call('system-presence')) as { mode?: string }[];
    observer.close();
    return !presence.some(({ mode }) => mode === 'cli');
  }, 'nobody is listed');
  expect(statSync(gateway.configPath).mode & 0o777).toBe(0o600);
});
