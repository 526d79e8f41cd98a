import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { cleanEnv, repository, watchOutput } from '../support/gateway.ts';
import { allListening, eventually, freePort, isAlive, processes } from '../support/processes.ts';

it('K-063 gateway:watch restarts the gateway after a source change, with no second listener and no EADDRINUSE', {
  timeout: 40_000,
}, async () => {
  const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  expect(scripts['gateway:watch']).toBe('node scripts/watch.mjs');
  // A copy, so that the files under test stay as they are.
  const copy = mkdtempSync(join(tmpdir(), 'openclaw-watch-'));
  for (const name of ['bin', 'src', 'scripts', 'package.json']) cpSync(join(repository, name), join(copy, name), { recursive: true });
  symlinkSync(join(repository, 'node_modules'), join(copy, 'node_modules'));
  const port = await freePort();
  const watcher = spawn(process.execPath, [join(copy, 'scripts', 'watch.mjs'), '--port', String(port)], {
    env: cleanEnv(copy),
    cwd: copy,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = watchOutput(watcher);
  const closed = new Promise((resolve) => watcher.once('close', resolve));
  const gatewayOf = () =>
    processes()
      .filter(({ parent }) => parent === watcher.pid)
      .map(({ pid }) => pid);
  const listeners = () => allListening().filter((socket) => socket.port === port && socket.address === '127.0.0.1').length;
  const samples: number[] = [];
  const sampler = setInterval(() => void samples.push(listeners()), 5);
  try {
    await output.printed(/\] ready/);
    const seen = new Set(gatewayOf());
    for (const round of [1, 2]) {
      const file = join(copy, 'src', 'actors', 'version.ts');
      writeFileSync(file, `${readFileSync(file, 'utf8')}// ${round}\n`);
      await eventually(() => (output.stdout().match(/\] ready/g)?.length ?? 0) === round + 1, 'it is ready again', 15_000);
      const [pid, ...more] = gatewayOf();
      expect(more).toEqual([]);
      expect(seen.has(pid as number)).toBe(false);
      seen.add(pid as number);
      // Each of the others was asked to stop, and did.
      expect([...seen].filter(isAlive)).toEqual([pid]);
    }
    expect(output.stdout().match(/stopped {2}exitCode=0/g)).toHaveLength(2);
    expect(output.stdout() + output.stderr()).not.toContain('EADDRINUSE');
    expect(Math.max(...samples)).toBe(1);
  } finally {
    clearInterval(sampler);
    watcher.kill('SIGTERM');
    await closed;
    rmSync(copy, { recursive: true, force: true, maxRetries: 3 });
  }
  expect(listeners()).toBe(0);
});
