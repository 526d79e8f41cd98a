/** Changing the configuration over the wire: who may overwrite what, what stays untouched, and which restart follows. */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Gateway, type GatewayOptions, startGateway, temporaryHome, token } from '../support/gateway.ts';
import { eventually } from '../support/processes.ts';
import type { RawClient } from '../support/raw-client.ts';

const opened: Gateway[] = [];
afterAll(async () => {
  await Promise.all(opened.splice(0).map((gateway) => gateway.close()));
});

const text = `// of the operator
{
  gateway: { mode: 'local', auth: { mode: 'token', token: '${token}' } },
  session: { identityLinks: { me: ['telegram:1', 'telegram:2'] } }, // both are me
  channels: {
    telegram: { enabled: false, name: '\${BOT_NAME}', },
  },
}
`;

async function start(options: GatewayOptions = {}) {
  const gateway = await startGateway({ config: text, ...options, env: { BOT_NAME: 'Robby', ...options.env } });
  opened.push(gateway);
  return { gateway, client: await gateway.connect(), read: () => readFileSync(gateway.configPath, 'utf8') };
}

const sha = (bytes: string) => createHash('sha256').update(bytes).digest('hex');
const hashOf = async (client: RawClient): Promise<string> => (await client.call('config.get')).hash;
const writers = ['config.set', 'config.patch', 'config.apply'];

describe('one gateway', () => {
  const shared = start();

  it('serves every method of the configuration, and the update', async () => {
    const { gateway } = await shared;
    const client = await gateway.raw();
    const { payload } = await client.hello();
    expect(payload.features.methods).toEqual(expect.arrayContaining([...writers, 'config.get', 'config.schema', 'update.run']));
    client.close();
  });

  it.each(writers)('C-116 G-014 %s of an existing file without its hash, or with an old one, changes nothing', async (method) => {
    const { client, read } = await shared;
    const without = await client.request(method, { raw: '{}' });
    expect(without.error).toMatchObject({ code: 'INVALID_REQUEST', details: { reason: 'base-hash-required', hash: sha(text) } });
    expect(without.error?.message).toContain('base hash required');
    const stale = await client.request(method, { raw: '{}', baseHash: sha('something else') });
    expect(stale.error).toMatchObject({ code: 'INVALID_REQUEST', details: { reason: 'base-hash-mismatch', hash: sha(text) } });
    expect(stale.error?.message).toContain('changed since last load');
    expect(stale.error).not.toHaveProperty('retryable');
    expect(read()).toBe(text);
  });

  it.each<[method: string, raw: string, path: string]>([
    ['config.set', `{ gateway: { port: 'many' } }`, 'gateway.port'],
    ['config.set', `{ gatewya: {} }`, 'gatewya'],
    ['config.set', `{ gateway: `, ''],
    ['config.set', `[1]`, ''],
    ['config.apply', text.replace('false', '7'), 'channels.telegram.enabled'],
    ['config.apply', `{ a: '\${NOT_THERE}' }`, 'a'],
    ['config.patch', `{ gateway: { port: 'many' } }`, 'gateway.port'],
    ['config.patch', `{ gateway: { prot: 1 } }`, 'gateway.prot'],
    ['config.patch', `{ channels: [] }`, 'channels'],
    ['config.patch', `{ '__proto__': {} }`, '__proto__'],
  ])('C-118 G-020 %s of %s is an invalid config, and leaves the file alone', async (method, raw, path) => {
    const { client, read } = await shared;
    const { error } = await client.request(method, { raw, baseHash: sha(text) });
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', message: 'invalid config', details: { reason: 'invalid-config' } });
    const { issues } = error?.details as { issues: { path: string; message: string }[] };
    expect(issues).toContainEqual({ path, message: expect.any(String) });
    expect(read()).toBe(text);
    expect(await hashOf(client)).toBe(sha(text));
  });

  it.each(['[{}]', '7', 'null', '"x"', '{', '{a:'.repeat(70) + '1' + '}'.repeat(70)])(
    'C-117 G-017 the patch %s is no object and is refused',
    async (raw) => {
      const { client, read } = await shared;
      const { error } = await client.request('config.patch', { raw, baseHash: sha(text) });
      expect(error?.code).toBe('INVALID_REQUEST');
      expect(read()).toBe(text);
    },
  );

  it('describes every key: shape, cost, and which are secret', async () => {
    const { client } = await shared;
    const { schema, uiHints, version, generatedAt } = await client.call('config.schema');
    expect(version).toMatch(/^\d+\./);
    expect(Date.parse(generatedAt)).toBeGreaterThan(0);
    expect(schema.properties.gateway.properties.port).toMatchObject({ type: 'integer', default: 18_789, 'x-reload': 'soft' });
    expect(uiHints['gateway.auth.token']).toMatchObject({ sensitive: true, group: 'gateway' });
    expect(uiHints['gateway.port']).toMatchObject({ sensitive: false });
  });

  it('G-021 shows no secret, and its raw text written back leaves the file as it is', async () => {
    const { client, gateway, read } = await shared;
    const before = statSync(gateway.configPath).ino;
    const snapshot = await client.call('config.get');
    expect(JSON.stringify(snapshot)).not.toContain(token);
    expect(snapshot.raw).toContain('// both are me');
    const answer = await client.call('config.set', { raw: snapshot.raw, baseHash: snapshot.hash });
    expect(answer).toMatchObject({ ok: true, path: gateway.configPath, hash: snapshot.hash });
    expect(JSON.stringify(answer)).not.toContain(token);
    expect(read()).toBe(text);
    expect(statSync(gateway.configPath).ino).toBe(before);
  });

  it.each(['__OPENCLAW_REDACTED__', 'secret:01234567'])('G-022 %s where no secret is, is refused', async (value) => {
    const { client, read } = await shared;
    const raw = JSON.stringify({ gateway: { auth: { password: value } } });
    const { error } = await client.request('config.patch', { raw, baseHash: sha(text) });
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', details: { issues: [{ path: 'gateway.auth.password' }] } });
    expect(read()).toBe(text);
  });
});

it('C-116 C-117 G-017 a patch removes, replaces and merges, and every other byte stays', async () => {
  const { gateway, client, read } = await start();
  const raw = `{ session: { identityLinks: { me: ['telegram:3'], you: ['telegram:4'] } }, channels: { telegram: { enabled: null } } }`;
  const answer = await client.call('config.patch', { raw, baseHash: sha(text), restartDelayMs: 60_000 });
  const wanted = text
    .replace(`me: ['telegram:1', 'telegram:2']`, `me: ["telegram:3"], you: ["telegram:4"]`)
    .replace('enabled: false, ', '');
  expect(read()).toBe(wanted);
  expect(answer).toMatchObject({ ok: true, path: gateway.configPath, hash: sha(wanted), restart: { ok: true } });
  expect(answer.config.session.identityLinks).toEqual({ me: ['telegram:3'], you: ['telegram:4'] });
  expect(answer.config.channels.telegram).toEqual({ name: 'Robby' });
  expect(answer.plan).toMatchObject({ class: 'soft', changed: ['session.identityLinks', 'channels.telegram.enabled'] });
  expect(JSON.stringify(answer)).not.toContain(token);
  expect(statSync(gateway.configPath).mode & 0o777).toBe(0o600);
  expect(readdirSync(gateway.stateDir).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

it('G-016 of two patches on the same text exactly one succeeds, and nothing of it is lost', async () => {
  const { client, read } = await start();
  for (let round = 1; round <= 10; round += 1) {
    const baseHash = await hashOf(client);
    const ask = (name: string) =>
      client.request('config.patch', {
        raw: JSON.stringify({ session: { identityLinks: { [name]: [`telegram:${round}`] } } }),
        baseHash,
        restartDelayMs: 60_000,
      });
    const answers = await Promise.all([ask(`a${round}`), ask(`b${round}`)]);
    expect(answers.map(({ ok }) => ok).sort()).toEqual([false, true]);
    const { error } = answers.find(({ ok }) => ok === false) as (typeof answers)[number];
    expect(error?.details).toMatchObject({ reason: 'base-hash-mismatch', hash: sha(read()) });
    expect(read().includes(`a${round}:`)).toBe(answers[0]?.ok);
    expect(read().includes(`b${round}:`)).toBe(answers[1]?.ok);
  }
});

it('G-015 without a file config.set needs no hash, and makes it for its owner only', async () => {
  const { gateway, client, read } = await start({ config: null, args: ['--allow-unconfigured'], env: { OPENCLAW_GATEWAY_TOKEN: token } });
  expect(await client.call('config.get')).toMatchObject({ exists: false, hash: sha('') });
  const answer = await client.call('config.set', { raw: text });
  expect(read()).toBe(text);
  expect(answer.hash).toBe(sha(text));
  // It only writes, and says so.
  expect(answer.restart).toMatchObject({ ok: false, reason: expect.stringContaining('next restart') });
  expect(answer.appliedHash).toBe(sha(''));
  expect(statSync(gateway.configPath).mode & 0o777).toBe(0o600);
  expect((await client.call('health')).generation).toBe(1);
});

describe('the restart', () => {
  it('C-119 config.apply leaves its note, and after two seconds restarts once, without commands.restart', async () => {
    const { gateway, client, read } = await start();
    const raw = text.replace('false', 'true').replace('name:', "botToken: '123456:abcdefghijklmnop', apiRoot: 'http://127.0.0.1:1', name:");
    const from = performance.now();
    const answer = await client.call('config.apply', { raw, baseHash: sha(text), sessionKey: 'main', note: '  a bot  ' });
    expect(read()).toBe(raw);
    expect(JSON.stringify(answer)).not.toContain('abcdefghijklmnop');
    expect(answer.restart).toEqual({
      ok: true,
      pid: gateway.pid,
      signal: 'SIGUSR1',
      delayMs: 2_000,
      reason: 'a bot',
      mode: 'emit',
      kind: 'soft',
      coalesced: false,
    });
    const path = join(gateway.stateDir, 'restart-sentinel.json');
    expect(answer.sentinel).toEqual({
      path,
      payload: {
        kind: 'config-apply',
        status: 'ok',
        ts: expect.any(Number),
        sessionKey: 'main',
        message: 'a bot',
        stats: { mode: 'config.apply', root: gateway.configPath },
      },
    });
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ version: 1, payload: answer.sentinel.payload });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const shutdown = await client.event('shutdown');
    expect(performance.now() - from).toBeGreaterThan(1_900);
    expect(shutdown.payload).toEqual({ reason: 'gateway restarting', restartExpectedMs: 1_500 });
    expect(await client.closed).toEqual({ code: 1012, reason: 'service restart' });
    await gateway.printed('ready again');
    const next = await gateway.connect();
    const { config, appliedHash } = await next.call('config.get');
    expect(config.channels.telegram.enabled).toBe(true);
    expect(appliedHash).toBe(sha(raw));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await next.call('health')).generation).toBe(2);
    // Whoever reads the log learns that it happened, and no secret.
    expect(gateway.stdout()).toContain('config.apply: a bot');
    expect(JSON.stringify(gateway.log()) + gateway.stdout() + gateway.stderr()).not.toContain('abcdefghijklmnop');
  });

  it('L-026 L-027 two patches that need one share it, at the earlier moment, and a delay is at most a minute', async () => {
    const { gateway, client } = await start();
    const ask = async (name: string, restartDelayMs: number) =>
      client.call('config.patch', {
        raw: `{ session: { identityLinks: { ${name}: ['telegram:9'] } } }`,
        baseHash: await hashOf(client),
        restartDelayMs,
      });
    const first = await ask('first', 999_999);
    expect(first.restart).toMatchObject({ ok: true, delayMs: 60_000, coalesced: false });
    const second = await ask('second', 100);
    expect(second.restart).toMatchObject({ ok: true, coalesced: true });
    expect(second.restart.delayMs).toBeLessThanOrEqual(100);
    await client.closed;
    await gateway.printed('ready again');
    const next = await gateway.connect();
    expect((await next.call('config.get')).config.session.identityLinks).toMatchObject({ first: ['telegram:9'], second: ['telegram:9'] });
    expect((await next.call('health')).generation).toBe(2);
  });

  it('a patch of what this process does not read restarts nothing', async () => {
    const { gateway, client } = await start();
    const raw = `{ gateway: { remote: { url: 'ws://elsewhere:1' } } }`;
    const answer = await client.call('config.patch', { raw, baseHash: sha(text), restartDelayMs: 0 });
    expect(answer.restart).toMatchObject({ ok: false, reason: 'not needed', delayMs: 0 });
    expect(answer.sentinel.path).toBeNull();
    expect(answer.plan).toMatchObject({ class: 'none', changed: ['gateway.remote.url'] });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { appliedHash, hash } = await client.call('config.get');
    expect(appliedHash).toBe(hash);
    expect(client.events('shutdown')).toEqual([]);
    expect((await client.call('health')).generation).toBe(1);
    expect(gateway.child.exitCode).toBeNull();
  });
});

describe('the file', () => {
  it('is written through a link, which stays one', async () => {
    const { gateway, client } = await start();
    const elsewhere = join(gateway.home, 'dotfiles', 'openclaw.json5');
    mkdirSync(join(gateway.home, 'dotfiles'));
    renameSync(gateway.configPath, elsewhere);
    symlinkSync(elsewhere, gateway.configPath);
    await client.call('config.set', { raw: '{ gateway: { mode: "local" } }', baseHash: sha(text) });
    expect(lstatSync(gateway.configPath).isSymbolicLink()).toBe(true);
    expect(readFileSync(elsewhere, 'utf8')).toBe('{ gateway: { mode: "local" } }');
    // A link whose file is gone is a file that is yet to be made.
    rmSync(elsewhere);
    await client.call('config.set', { raw: text });
    expect(lstatSync(gateway.configPath).isSymbolicLink()).toBe(true);
    expect(readFileSync(elsewhere, 'utf8')).toBe(text);
  });

  it.each(writers)('%s in the place of a folder is refused by its name', async (method) => {
    const { gateway, client } = await start();
    rmSync(gateway.configPath);
    mkdirSync(gateway.configPath);
    const { error } = await client.request(method, { raw: '{}' });
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', details: { reason: 'hash-unavailable' } });
    expect(error?.message).toContain(`${gateway.configPath} is a directory`);
    rmSync(gateway.configPath, { recursive: true });
    writeFileSync(gateway.configPath, text);
  });

  it('that is damaged is not patched, and can be replaced', async () => {
    const { gateway, client, read } = await start();
    const damaged = `${text.slice(0, -20)}`;
    writeFileSync(gateway.configPath, damaged);
    const { error } = await client.request('config.patch', { raw: '{}', baseHash: sha(damaged) });
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', message: 'invalid config' });
    expect(read()).toBe(damaged);
    await client.call('config.set', { raw: text, baseHash: sha(damaged) });
    expect(read()).toBe(text);
  });

  it('with a secret in a comment is shown without its comments', async () => {
    const { client, gateway } = await start();
    writeFileSync(gateway.configPath, text.replace('both are me', `token: ${token}`));
    const { raw } = await client.call('config.get');
    expect(raw).not.toContain(token);
    expect(JSON.parse(raw).gateway.mode).toBe('local');
  });

  it.each(['opened', 'written', 'synced', 'renamed'])('is the old one or the new one after a kill when it was just %s', async (step) => {
    const home = temporaryHome();
    const { gateway, client, read } = await start({ home, env: { OPENCLAW_FAIL_POINTS: `write-file.${step}:1:crash` } });
    const raw = text.replace('both are me', 'x'.repeat(100_000));
    client.send({ type: 'req', id: 'set', method: 'config.set', params: { raw, baseHash: sha(text) } });
    expect((await gateway.exited).signal).toBe('SIGKILL');
    expect(read()).toBe(step === 'renamed' ? raw : text);
    // What the dead one left is nobody's while it could still be in use, and holds nobody up.
    const again = await gateway.again({ env: { BOT_NAME: 'Robby' } });
    opened.push(again);
    const next = await again.connect();
    await next.call('config.set', { raw: text, baseHash: sha(read()) });
    await eventually(() => read() === text, 'written');
  });
});
