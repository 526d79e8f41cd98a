/** What people notice of a restart and of an end. */
import { median, pause, startGateway, token, work } from '../process.ts';
import type { Outage } from '../load/outage.ts';
import { ms, type Row } from './row.ts';

/** More than five a minute are held back by the gateway itself. */
const restartsPerServer = 4;

export async function restartRows(rounds: number): Promise<Row[]> {
  const connected: number[] = [];
  let newcomer = 0;
  let newcomers = 0;
  let refused = 0;
  for (let round = 0; round < rounds; round += 1) {
    const server = await startGateway();
    const client = work<Outage>('outage', { url: server.url, token, rounds: restartsPerServer, gapMs: 300 });
    await client.heard('ready');
    for (let restart = 0; restart < restartsPerServer; restart += 1) {
      await client.heard(`signal-${restart}`);
      server.child.kill('SIGUSR1');
    }
    const result = await client.result;
    connected.push(...result.connectedMs);
    newcomer = Math.max(newcomer, result.newcomerMs);
    newcomers += result.newcomers;
    refused += result.refused;
    await server.stop();
  }
  const outage = median(connected);
  return [
    {
      what: 'soft restart: signal → hello-ok again, connected client',
      value: ms(outage),
      compared: `worst of ${connected.length}: ${ms(Math.max(...connected))}`,
      target: '≤ 25 ms',
      met: outage <= 25,
      gate: outage <= 250,
    },
    {
      what: 'soft restart: longest wait of a newcomer',
      value: ms(newcomer),
      compared: `${newcomers} arrived, ${refused} refused`,
      target: 'nobody refused, ≤ 1 s',
      met: refused === 0 && newcomer <= 1_000,
      gate: refused === 0,
    },
  ];
}

export async function stopRows(rounds: number): Promise<Row[]> {
  const times: number[] = [];
  let told = 0;
  const clients = 100;
  for (let round = 0; round < rounds; round += 1) {
    const server = await startGateway();
    const crowd = work<{ told: number }>('hold', { url: server.url, token, clients });
    await crowd.heard('ready');
    await pause(500);
    const from = performance.now();
    await server.stop();
    times.push(performance.now() - from);
    crowd.say('end');
    told += (await crowd.result).told;
  }
  const time = median(times);
  const everybody = told === clients * rounds;
  return [
    {
      what: 'SIGTERM → exit, 100 clients',
      value: ms(time),
      compared: `${told} of ${clients * rounds} told`,
      target: '≤ 80 ms, every client told',
      met: time <= 80 && everybody,
    },
  ];
}
