import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { namedSchemas } from '../../scripts/compile-validators.ts';
import { cleanEnv, repository, temporaryHome, watchOutput } from '../support/gateway.ts';

const home = temporaryHome();
const root = join(home, 'installed');
const launcher = join(root, 'bin', 'openclaw.mjs');

/** Laid out as an installed package is: the bundle, the launcher, no source. */
beforeAll(() => {
  execFileSync(process.execPath, [join(repository, 'scripts/build.mjs'), '--no-pack', '--out', join(root, 'dist')], {
    cwd: repository,
    stdio: 'pipe',
  });
  cpSync(join(repository, 'bin'), join(root, 'bin'), { recursive: true });
  writeFileSync(join(root, 'package.json'), JSON.stringify({ type: 'module' }));
  symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'));
}, 60_000);
afterAll(() => rmSync(home, { recursive: true, force: true }));

const cli = (args: string[], env: Record<string, string>) =>
  execFileSync(process.execPath, [launcher, ...args], {
    env: cleanEnv(home, { OPENCLAW_TEST: undefined, ...env }),
    cwd: home,
    encoding: 'utf8',
  });

it('runs from its bundle alone: gateway, command line, an agent turn with a tool, and a clean end', async () => {
  const child = spawn(process.execPath, [launcher, 'gateway', '--dev', '--port', '0'], {
    env: cleanEnv(home),
    cwd: home,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = watchOutput(child);
  const ended = new Promise((resolve) => child.once('close', resolve));
  await output.printed(/\] ready/);
  const port = /listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(output.stdout())?.[1] as string;
  const env = { OPENCLAW_GATEWAY_PORT: port };
  expect(JSON.parse(cli(['health', '--json'], env))).toMatchObject({ ok: true, phase: 'running.ready' });
  expect(cli(['agent', '--agent', 'main', '--message', 'run echo from the bundle'], env)).toBe('from the bundle\n');
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(output.stderr()).toBe('');
});

it('carries a validator for everything that is ever validated', async () => {
  const code = readdirSync(join(root, 'dist'))
    .filter((name) => name.endsWith('.mjs'))
    .map((name) => readFileSync(join(root, 'dist', name), 'utf8'))
    .join('\n');
  for (const name of namedSchemas().keys()) expect(code).toContain(JSON.stringify(name));
  // The compiler itself is not part of a release.
  expect(code).not.toContain('ajv/dist/core');
});

it('gives programs a client with types', () => {
  const folder = join(home, 'program');
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'use.ts'),
    `import { connect, type GatewayClient } from '${join(root, 'dist/types/protocol/client.js')}';
export async function presence(): Promise<number> {
  const client: GatewayClient = await connect({ url: 'ws://127.0.0.1:1', token: 't', reconnect: true });
  for await (const event of client.events()) if (event.event === 'presence') return event.seq ?? 0;
  return (await client.request<unknown[]>('system-presence')).length;
}
`,
  );
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        module: 'nodenext',
        target: 'es2024',
        strict: true,
        noEmit: true,
        skipLibCheck: true,
        types: ['node'],
        typeRoots: [join(repository, 'node_modules/@types')],
      },
      files: ['use.ts'],
    }),
  );
  expect(execFileSync(join(repository, 'node_modules/.bin/tsc'), ['-p', folder], { cwd: folder, encoding: 'utf8' })).toBe('');
});
