/** How long it takes until somebody is served, against a Node that does nothing. */
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { open } from '../load/socket.ts';
import { type Build, environment, launcher, makeHome, median, pause, startGateway, token } from '../process.ts';
import { ms, ratio, type Row } from './row.ts';

function timed(command: string, args: string[], env: Record<string, string>): Promise<number> {
  const from = performance.now();
  const child = spawn(command, args, { env, stdio: 'ignore' });
  return new Promise((resolve) => child.once('exit', () => resolve(performance.now() - from)));
}

const bare = () => timed(process.execPath, ['-e', '0'], { PATH: process.env['PATH'] ?? '' });

/** From exec to the first greeting; the client tries again as long as nobody listens. */
async function toHello(build: Build): Promise<number> {
  const from = performance.now();
  const server = await startGateway({ build, wait: false });
  for (;;) {
    try {
      const ws = await open({ url: server.url, token });
      const elapsed = performance.now() - from;
      ws.terminate();
      await server.stop();
      return elapsed;
    } catch {
      await pause(1);
    }
  }
}

export async function startRows(rounds: number): Promise<Row[]> {
  const times: Record<'node' | 'bundle' | 'source', number[]> = { node: [], bundle: [], source: [] };
  // The first start fills the code cache; an installed release has it from its first run on.
  await toHello('bundle');
  await toHello('source');
  for (let round = 0; round < rounds; round += 1) {
    times.node.push(await bare());
    times.bundle.push(await toHello('bundle'));
    times.source.push(await toHello('source'));
  }
  const [node, bundle, source] = [median(times.node), median(times.bundle), median(times.source)];
  const commands = await commandTimes(rounds);
  return [
    {
      what: 'exec → first hello-ok, release',
      value: `${ratio(bundle / node)} (${ms(bundle)})`,
      compared: `node -e 0: ${ms(node)}`,
      target: '≤ 4 ×',
      met: bundle / node <= 4,
      gate: bundle / node <= 12,
    },
    {
      what: 'exec → first hello-ok, unbuilt source',
      value: `${ratio(source / node)} (${ms(source)})`,
      compared: `node -e 0: ${ms(node)}`,
      target: '–',
      met: true,
    },
    ...commands,
  ];
}

async function commandTimes(rounds: number): Promise<Row[]> {
  const times: Record<'node' | 'bundle' | 'source', number[]> = { node: [], bundle: [], source: [] };
  const server = await startGateway();
  const home = makeHome();
  const health = (build: Build) =>
    timed(process.execPath, [launcher, 'health'], { ...environment(home, build), OPENCLAW_GATEWAY_PORT: String(server.port) });
  await health('bundle');
  await health('source');
  for (let round = 0; round < rounds * 3; round += 1) {
    times.node.push(await bare());
    times.bundle.push(await health('bundle'));
    times.source.push(await health('source'));
  }
  await server.stop();
  rmSync(home, { recursive: true, force: true });
  const [node, bundle, source] = [median(times.node), median(times.bundle), median(times.source)];
  const compared = `node -e 0: ${ms(node)}`;
  return [
    {
      what: '`openclaw health`, release',
      value: `${ratio(bundle / node)} (${ms(bundle)})`,
      compared,
      target: '≤ 2 ×',
      met: bundle / node <= 2,
    },
    { what: '`openclaw health`, unbuilt source', value: `${ratio(source / node)} (${ms(source)})`, compared, target: '–', met: true },
  ];
}
