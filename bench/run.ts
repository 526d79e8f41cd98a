/**
 * The numbers, as ratios within one run: gateway and comparison alternate, each figure is a median.
 *   npm run bench                 everything, kept as bench/RESULTS.md
 *   npm run bench -- --only start,hostile
 *   npm run bench -- --gate       fewer rounds, nothing written; fails when a wide limit is passed
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { here, root } from './process.ts';
import { restartRows, stopRows } from './rows/ending.ts';
import { hostileRows } from './rows/hostility.ts';
import type { Row } from './rows/row.ts';
import { fanOutRows, handshakeRows, requestRows } from './rows/serving.ts';
import { installedRows, memoryRows } from './rows/size.ts';
import { startRows } from './rows/start.ts';

const args = process.argv.slice(2);
const isGate = args.includes('--gate');
const only = args.includes('--only') ? (args[args.indexOf('--only') + 1] ?? '').split(',') : undefined;
const rounds = isGate ? 1 : 3;

const parts: readonly (readonly [name: string, measure: () => Promise<Row[]> | Row[]])[] = [
  ['start', () => startRows(isGate ? 3 : 7)],
  ['requests', () => requestRows(rounds, isGate ? 1_500 : 3_000)],
  ['handshakes', () => handshakeRows(rounds, isGate ? 1_000 : 3_000)],
  ['fanout', () => fanOutRows(rounds)],
  ['memory', () => memoryRows(rounds, isGate ? 3_000 : 10_000)],
  ['restart', () => restartRows(rounds)],
  ['stop', () => stopRows(rounds)],
  ['hostile', () => hostileRows(rounds)],
  ['installed', () => installedRows()],
];
const gated = new Set(['start', 'requests', 'memory', 'restart']);

execFileSync(process.execPath, [join(root, 'scripts', 'build.mjs'), '--no-pack'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });

const rows: Row[] = [];
for (const [name, measure] of parts) {
  if (only ? !only.includes(name) : isGate && !gated.has(name)) continue;
  console.error(`${name} …`);
  rows.push(...(await measure()));
}

const table = [
  '| What | Gateway | Compared with | Target | |',
  '| --- | --- | --- | --- | --- |',
  ...rows.map(
    ({ what, value, compared, target, met }) =>
      `| ${what} | ${value} | ${compared} | ${target} | ${target === '–' ? '' : met ? '✓' : '✗'} |`,
  ),
].join('\n');
console.log(table);

if (!isGate && only === undefined) {
  const [processor] = cpus();
  writeFileSync(
    join(here, 'RESULTS.md'),
    `# Results

Printed by \`npm run bench\`. Everything in one run on one machine; gateway and comparison alternate; medians of at least three.
Ratios carry over to other machines, absolute figures do not. "Release" is the bundle of \`npm run build\`.

Node ${process.version}, ${cpus().length} × ${processor?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 1024 ** 3)} GB.

${table}
`,
  );
}

const broken = isGate ? rows.filter(({ gate }) => gate === false) : [];
for (const { what, value } of broken) console.error(`past its limit: ${what}: ${value}`);
process.exit(broken.length > 0 ? 1 : 0);
