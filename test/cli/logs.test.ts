import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { cleanEnv, defaultConfig, type Gateway, repository, startGateway, watchOutput } from '../support/gateway.ts';
import { eventually, freePort } from '../support/processes.ts';

const opened: Gateway[] = [];
afterAll(async () => {
  await Promise.all(opened.splice(0).map((gateway) => gateway.close()));
});

/** Loaded into the command, it says which files are opened while it runs. */
const spy = `import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module';
for (const api of [fs, fs.promises]) for (const name of ['open', 'openSync', 'readFile', 'readFileSync', 'createReadStream']) {
  const own = api[name]; if (own === undefined) continue;
  api[name] = function (path, ...rest) { process.stderr.write('OPENED ' + String(path) + '\\n'); return own.call(this, path, ...rest); };
}
syncBuiltinESMExports();`;

it('K-047 logs --follow shows new lines, survives a restart and a rotation, and opens no log file itself', {
  timeout: 40_000,
}, async () => {
  const port = await freePort();
  const options = { args: ['--port', String(port)], env: { OPENCLAW_TEST_LOG_BYTES: '4000' } };
  let gateway = await startGateway(options);
  opened.push(gateway);
  writeFileSync(join(gateway.home, 'spy.mjs'), spy);
  const launcher = join(repository, 'bin', 'openclaw.mjs');
  const child = spawn(process.execPath, ['--import', join(gateway.home, 'spy.mjs'), launcher, 'logs', '--follow', '--interval', '200'], {
    env: cleanEnv(gateway.home, { OPENCLAW_GATEWAY_PORT: String(port) }),
    cwd: gateway.home,
  });
  const output = watchOutput(child);
  const closed = new Promise((resolve) => child.once('close', resolve));
  await output.printed('ready');

  /** A line nobody has seen before: the refusal of a client that calls itself so. */
  const provoke = async (from: Gateway, name: string) => {
    const client = await from.raw();
    await client.hello({
      minProtocol: 3,
      maxProtocol: 3,
      client: { id: 'test', version: '1', platform: 'x', mode: 'test' },
      auth: { token: name },
    });
    await client.closed;
  };
  const refusals = () => output.stdout().match(/handshake refused/g)?.length ?? 0;

  await provoke(gateway, 'a');
  const from = performance.now();
  await eventually(() => refusals() === 1, 'the new line is shown', 2_000);
  // Twice the interval, and what the log itself keeps a line back; with room for a busy machine.
  expect(performance.now() - from).toBeLessThan(1_500);

  await gateway.kill();
  await output.printed('connection lost');
  gateway = await gateway.again(options);
  opened.push(gateway);
  await output.printed('reconnected');
  await provoke(gateway, 'b');
  await eventually(() => refusals() === 2, 'the line after the restart is shown', 5_000);

  // Enough to fill the file: it is put aside and begun anew with the next lines that are written.
  const isRotated = () => readdirSync(join(gateway.home, 'tmp', 'openclaw')).some((name) => name.endsWith('.log.1'));
  for (let round = 0; round < 20 && !isRotated(); round += 1) {
    for (let count = 0; count < 4; count += 1) await provoke(gateway, 'c');
    await pause(300);
  }
  expect(isRotated()).toBe(true);
  await output.printed('the file was rotated');
  // Whatever of these is still on its way is shown.
  await pause(1_000);
  const before = refusals();
  await provoke(gateway, 'd');
  await eventually(() => refusals() > before, 'the line after the rotation is shown', 5_000);
  expect(output.stdout()).toContain('ready');

  child.kill('SIGINT');
  expect(await closed).toBe(0);
  const touched = output
    .stderr()
    .split('\n')
    .filter((line) => line.startsWith('OPENED'));
  expect(touched.some((line) => line.endsWith('openclaw.json'))).toBe(true);
  expect(touched.filter((line) => /\.log(\.1)?$/.test(line))).toEqual([]);
});

it('K-048 logs --json emits only the five kinds of object, and errors go to stderr', async () => {
  const gateway = await startGateway({ config: { ...defaultConfig, logging: { file: '~/own.log' } } });
  opened.push(gateway);
  const { stdout, stderr, code } = await gateway.cli(['logs', '--json', '--limit', '5']);
  expect(code).toBe(0);
  expect(stderr).toBe('');
  const kinds = stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { type: string }).type);
  expect(kinds[0]).toBe('meta');
  expect(kinds).toContain('log');
  for (const kind of kinds) expect(['meta', 'log', 'raw', 'notice', 'error']).toContain(kind);
  const down = await gateway.cli(['logs', '--json'], { env: { OPENCLAW_GATEWAY_PORT: String(await freePort()) } });
  expect(down.code).toBe(1);
  expect(down.stdout).toBe('');
  const error = JSON.parse(down.stderr) as Record<string, unknown>;
  expect(error).toMatchObject({
    type: 'error',
    error: 'UNAVAILABLE',
    message: expect.any(String),
    hint: expect.stringContaining('openclaw gateway'),
  });
});

it('a line that is no JSON is shown as it is', async () => {
  const gateway = await startGateway();
  opened.push(gateway);
  const { file } = JSON.parse((await gateway.cli(['gateway', 'call', 'logs.tail', '--json'])).stdout) as { file: string };
  writeFileSync(file, `${readFileSync(file, 'utf8')}not a record\n`);
  const { stdout } = await gateway.cli(['logs', '--json']);
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object),
  ).toContainEqual({ type: 'raw', raw: 'not a record' });
});
