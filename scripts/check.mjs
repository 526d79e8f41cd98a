// What CI runs before the tests, fastest first: format, lint, types, and whether the generated files are current.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const tool = (name) => join(root, 'node_modules', '.bin', name);

const steps = [
  ['format', tool('biome'), ['format', '.']],
  ['lint', tool('oxlint'), ['--type-aware']],
  ['types', tool('tsc'), ['--noEmit', '-p', '.']],
  ['protocol', tool('node'), ['scripts/protocol-gen.ts', '--check']],
];

for (const [name, command, args] of steps) {
  const from = performance.now();
  const { status } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], cwd: root });
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${Math.round(performance.now() - from)} ms)`);
  if (status !== 0) process.exit(1);
}
