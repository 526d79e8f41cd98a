/**
 * Updates over the wire, with real git against a real remote, and with a package manager that does what its commands say.
 * The gateway under test never updates itself: it is told that its code lies elsewhere.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { hasServiceManager } from '../../src/actors/update/manager.ts';
import { cleanEnv, type Gateway, startGateway, temporaryHome } from '../support/gateway.ts';
import { descendants, eventually, isAlive } from '../support/processes.ts';

const opened: Gateway[] = [];
afterAll(async () => {
  await Promise.all(opened.splice(0).map((gateway) => gateway.close()));
});

/** As a service manager marks what it starts. */
const managed = { INVOCATION_ID: '0123456789abcdef0123456789abcdef' };

async function start(home: string, root: string, env: Record<string, string | undefined> = {}) {
  const gateway = await startGateway({ home, env: { OPENCLAW_TEST_INSTALL_ROOT: root, ...env } });
  opened.push(gateway);
  return { gateway, client: await gateway.connect() };
}

function git(home: string, cwd: string, ...args: string[]): string {
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@example.org', '-c', 'init.defaultBranch=main'];
  return execFileSync('git', [...identity, ...args], {
    cwd,
    env: cleanEnv(home),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}

/** The code of a version: a program that says which one it is, or breaks. */
function writeCode(root: string, version: string, program = `console.log('${version}');`): void {
  for (const folder of ['bin', 'src']) mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, 'package.json'), JSON.stringify({ name: 'openclaw-gateway', version }));
  writeFileSync(join(root, 'bin', 'openclaw.mjs'), program);
  writeFileSync(join(root, 'src', 'main.ts'), '');
}

/** A remote, and a checkout of its first version. */
function makeCheckout() {
  const home = temporaryHome();
  const origin = join(home, 'origin');
  const root = join(home, 'checkout');
  mkdirSync(origin);
  git(home, origin, 'init', '--quiet');
  const publish = (version: string, program?: string) => {
    writeCode(origin, version, program);
    git(home, origin, 'add', '.');
    git(home, origin, 'commit', '--quiet', '-m', version);
    return git(home, origin, 'rev-parse', 'HEAD');
  };
  const first = publish('1.0.0');
  git(home, home, 'clone', '--quiet', origin, root);
  return { home, origin, root, publish, first, head: () => git(home, root, 'rev-parse', 'HEAD') };
}

describe('a checkout', () => {
  it('L-033 under a service manager: goes forward, leaves its note, and ends for its successor', async () => {
    const { home, root, publish, first, head } = makeCheckout();
    const { gateway, client } = await start(home, root, managed);
    const second = publish('1.1.0');
    const answer = await client.call('update.run', { sessionKey: 'main', note: 'new code', restartDelayMs: 200 });
    expect(answer.result).toMatchObject({
      status: 'ok',
      mode: 'git',
      root,
      before: { sha: first, version: '1.0.0' },
      after: { sha: second, version: '1.1.0' },
    });
    expect(answer.result.durationMs).toBeGreaterThan(0);
    expect(answer.result.steps.at(-2)).toMatchObject({ name: 'check', exitCode: 0, stdoutTail: '1.1.0', cwd: root });
    expect(head()).toBe(second);
    expect(answer.restart).toMatchObject({ ok: true, pid: gateway.pid, delayMs: 200, kind: 'hard', reason: 'new code' });
    const note = JSON.parse(readFileSync(answer.sentinel.path, 'utf8'));
    expect(note).toEqual({ version: 1, payload: answer.sentinel.payload });
    expect(note.payload).toMatchObject({
      kind: 'update',
      status: 'ok',
      sessionKey: 'main',
      stats: { mode: 'git', after: { sha: second } },
    });
    expect((await client.event('shutdown')).payload).toEqual({ reason: 'gateway updating', restartExpectedMs: 6_500 });
    expect(await client.closed).toMatchObject({ code: 1012 });
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
  });

  it('L-033 without a service manager: is updated, and the gateway goes on and says what is to be done', async () => {
    const { home, root, publish, head } = makeCheckout();
    const { gateway, client } = await start(home, root);
    const second = publish('1.1.0');
    const { ok, result, restart, sentinel } = await client.call('update.run', { restartDelayMs: 0 });
    expect({ ok, status: result.status, head: head() }).toEqual({ ok: true, status: 'ok', head: second });
    expect(restart).toMatchObject({ ok: false, reason: expect.stringContaining('no service manager') });
    expect(sentinel.path).toBeNull();
    await gateway.printed('start the gateway again');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await client.call('health')).generation).toBe(1);
    expect(gateway.child.exitCode).toBeNull();
    // Nothing is left to do.
    const again = await client.call('update.run');
    expect(again.result).toMatchObject({ status: 'skipped', reason: 'up-to-date' });
    expect(again.restart).toMatchObject({ ok: false, reason: 'not needed' });
  });

  it.each<[reason: string, spoil: (checkout: ReturnType<typeof makeCheckout>) => void]>([
    ['dirty', ({ root }) => writeFileSync(join(root, 'src', 'main.ts'), '// mine')],
    ['no-upstream', ({ home, root }) => git(home, root, 'checkout', '--quiet', '--detach')],
    ['diverged', ({ home, root }) => git(home, root, 'commit', '--quiet', '--allow-empty', '-m', 'mine')],
  ])('that is %s is left alone, and nothing restarts', async (reason, spoil) => {
    const checkout = makeCheckout();
    spoil(checkout);
    const before = checkout.head();
    checkout.publish('1.1.0');
    const { gateway, client } = await start(checkout.home, checkout.root, managed);
    const { result, restart, sentinel } = await client.call('update.run', { restartDelayMs: 0 });
    expect(result).toMatchObject({ status: 'skipped', mode: 'git', reason: expect.stringContaining(reason) });
    expect(restart).toMatchObject({ ok: false, reason: 'not needed' });
    expect(sentinel).toMatchObject({ path: null, payload: { kind: 'update', status: 'skipped' } });
    expect(checkout.head()).toBe(before);
    expect(existsSync(join(gateway.stateDir, 'restart-sentinel.json'))).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await client.call('health')).generation).toBe(1);
  });

  it('L-033 whose new code does not run gets its old code back, and nothing restarts', async () => {
    const { home, root, publish, first, head } = makeCheckout();
    const { gateway, client } = await start(home, root, managed);
    publish('1.1.0', `console.error('token=abcdef0123456789 is wrong'); process.exit(3);`);
    const { result, restart } = await client.call('update.run', { restartDelayMs: 0 });
    expect(result).toMatchObject({ status: 'error', reason: 'check failed; the old code is back' });
    const check = result.steps.find(({ name }: { name: string }) => name === 'check');
    expect(check).toMatchObject({ exitCode: 3, stderrTail: expect.stringContaining('is wrong') });
    expect(JSON.stringify(result)).not.toContain('abcdef0123456789');
    expect(restart).toMatchObject({ ok: false, reason: 'update failed' });
    expect(head()).toBe(first);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(gateway.child.exitCode).toBeNull();
  });
});

/** A program in the path of the gateway, as a package manager would be. */
function putProgram(home: string, name: string, script: string): { PATH: string } {
  const bin = join(home, 'bin');
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, name), 0o755);
  return { PATH: `${bin}:${process.env['PATH']}` };
}

function makePackage() {
  const home = temporaryHome();
  const folder = join(home, 'lib', 'node_modules');
  const root = join(folder, 'openclaw-gateway');
  writeCode(root, '1.0.0');
  return { home, folder, root };
}

describe('a package', () => {
  it('of npm is updated where npm put it', async () => {
    const { home, folder, root } = makePackage();
    const manifest = JSON.stringify({ name: 'openclaw-gateway', version: '2.0.0' });
    const path = putProgram(
      home,
      'npm',
      `if [ "$1" = root ]; then echo '${folder}'; else printf '%s ' "$@" > '${home}/asked'; echo '${manifest}' > '${root}/package.json'; fi`,
    );
    const { client } = await start(home, root, { ...path, ...managed });
    const { result, restart } = await client.call('update.run', { restartDelayMs: 60_000 });
    expect(result).toMatchObject({ status: 'ok', mode: 'npm', before: { version: '1.0.0' }, after: { version: '2.0.0' } });
    expect(readFileSync(join(home, 'asked'), 'utf8')).toContain('install --global');
    expect(readFileSync(join(home, 'asked'), 'utf8')).toContain('openclaw-gateway@latest');
    expect(restart).toMatchObject({ ok: true, kind: 'hard' });
  });

  it('that belongs to a project is left alone', async () => {
    const { home, root } = makePackage();
    const path = putProgram(home, 'npm', `[ "$1" = root ] || touch '${home}/asked'; echo '${home}/elsewhere'`);
    const { client } = await start(home, root, path);
    const { result } = await client.call('update.run');
    expect(result).toMatchObject({ status: 'skipped', reason: expect.stringContaining('not-global') });
    expect(existsSync(join(home, 'asked'))).toBe(false);
  });

  it('of nobody is left alone', async () => {
    const home = temporaryHome();
    writeCode(join(home, 'somewhere'), '1.0.0');
    const { client } = await start(home, join(home, 'somewhere'), managed);
    const { result, restart } = await client.call('update.run');
    expect(result).toMatchObject({ status: 'skipped', mode: 'unknown', reason: expect.stringContaining('unknown-install'), steps: [] });
    expect(restart.ok).toBe(false);
  });
});

describe('an update that hangs', () => {
  const hangs = (home: string) => putProgram(home, 'npm', `trap '' TERM\nsleep 300 &\nsleep 301 &\nwhile :; do sleep 1; done`);

  it('ends with all its programs at the deadline of the caller, and there is one at a time', async () => {
    const { home, root } = makePackage();
    const { gateway, client } = await start(home, root, { ...hangs(home), ...managed });
    const from = performance.now();
    // Less than a second is a second.
    const first = client.call('update.run', { timeoutMs: 1 });
    await eventually(() => descendants(gateway.pid).length >= 3, 'it runs');
    const children = descendants(gateway.pid);
    const second = await client.request('update.run');
    expect(second.error).toMatchObject({ code: 'UNAVAILABLE', retryable: true, message: 'an update is running already' });
    const { result, restart } = await first;
    expect(performance.now() - from).toBeGreaterThan(990);
    expect(performance.now() - from).toBeLessThan(6_000);
    expect(result.status).not.toBe('ok');
    expect(result.steps[0]).toMatchObject({ name: 'npm root', exitCode: null, stderrTail: expect.stringContaining('deadline') });
    expect(restart.ok).toBe(false);
    await eventually(() => !children.some(isAlive), 'every program is gone');
    expect((await client.call('update.run', { timeoutMs: 1 })).ok).toBe(true);
  });

  it('L-019 ends with the gateway', async () => {
    const { home, root } = makePackage();
    const { gateway, client } = await start(home, root, hangs(home));
    client.send({ type: 'req', id: 'update', method: 'update.run', params: {} });
    await eventually(() => descendants(gateway.pid).length >= 3, 'it runs');
    const children = descendants(gateway.pid);
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    await eventually(() => !children.some(isAlive), 'every program is gone', 5_000);
  });
});

it.each<[isManaged: boolean, env: Record<string, string>]>([
  [true, { INVOCATION_ID: 'x', SYSTEMD_EXEC_PID: '42' }],
  [true, { INVOCATION_ID: 'x' }],
  // Of a terminal that is itself a service.
  [false, { INVOCATION_ID: 'x', SYSTEMD_EXEC_PID: '41' }],
  [true, { XPC_SERVICE_NAME: 'bot.molt.gateway' }],
  [false, { XPC_SERVICE_NAME: '0' }],
  [false, { XPC_SERVICE_NAME: 'application.com.apple.Terminal.1' }],
  [true, { OPENCLAW_SERVICE_MARKER: 'openclaw' }],
  [false, {}],
])('a service manager: %s with %o', (isManaged, env) => {
  expect(hasServiceManager(env, 42)).toBe(isManaged);
});
