/** What it takes up: memory, processor time while nothing happens, and room on the disk. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cpuMs, median, pause, residentMb, root, startBare, startGateway, token, work } from '../process.ts';
import { mb, type Row } from './row.ts';

const crowdSize = 1_000;

export async function memoryRows(rounds: number, idleMs: number): Promise<Row[]> {
  const idle: number[] = [];
  const crowded: number[] = [];
  const busy: number[] = [];
  const bareIdle: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const bare = await startBare();
    const server = await startGateway();
    await pause(2_000);
    idle.push(residentMb(server.pid));
    bareIdle.push(residentMb(bare.pid));
    const before = cpuMs(server.pid);
    await pause(idleMs);
    busy.push((cpuMs(server.pid) - before) / idleMs);
    const crowd = work('hold', { url: server.url, token, clients: crowdSize });
    await crowd.heard('ready');
    await pause(1_000);
    crowded.push(residentMb(server.pid));
    crowd.say('end');
    await crowd.result;
    await server.stop();
    await bare.stop();
  }
  const [memory, full, cpu] = [median(idle), median(crowded), median(busy)];
  return [
    {
      what: 'resident memory, idle, whole process tree',
      value: mb(memory),
      compared: `bare server: ${mb(median(bareIdle))}`,
      target: '≤ 120 MB',
      met: memory <= 120,
      gate: memory <= 180,
    },
    {
      what: `resident memory with ${crowdSize} clients`,
      value: mb(full),
      compared: `${(((full - memory) * 1024) / crowdSize).toFixed(1)} KB a client`,
      target: '–',
      met: true,
    },
    { what: 'idle processor time', value: `${(cpu * 100).toFixed(2)} % of a core`, compared: '', target: '≤ 0.1 %', met: cpu <= 0.001 },
  ];
}

/** Runtime dependencies as installed, without the pinned Node. */
export function installedRows(): Row[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean }>;
  };
  const folders = Object.entries(packages)
    .filter(([path, { dev }]) => path.startsWith('node_modules/') && dev !== true && !path.includes('node_modules/node-linux-'))
    .map(([path]) => path);
  const { stdout } = spawnSync('du', ['-sk', ...folders], { cwd: root, encoding: 'utf8' });
  const kilobytes = stdout
    .split('\n')
    .filter(Boolean)
    .filter((line) => (line.match(/node_modules\//g) ?? []).length === 1)
    .reduce((sum, line) => sum + Number(line.split('\t')[0]), 0);
  const total = kilobytes / 1024;
  return [
    {
      what: 'installed, runtime dependencies',
      value: mb(total),
      compared: 'without the pinned Node',
      target: '≤ 120 MB',
      met: total <= 120,
    },
  ];
}
