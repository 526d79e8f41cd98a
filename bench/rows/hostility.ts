/** What others notice while somebody does his worst. */
import type { Bystander } from '../load/bystander.ts';
import { median, pause, residentMb, startGateway, token, work } from '../process.ts';
import { mb, ms, type Row } from './row.ts';

const attacks: readonly { name: string; what: string; limitMs: number; growthMb?: number }[] = [
  { name: 'malformed', what: '20 000 malformed frames from one client', limitMs: 50 },
  { name: 'neverReads', what: '100 000 requests of a client that never reads', limitMs: 50, growthMb: 32 },
  { name: 'strangers', what: '10 000 upgraded sockets that never connect', limitMs: 50 },
  { name: 'silent', what: '10 000 silent TCP connections', limitMs: 50 },
  { name: 'wrongTokens', what: '300 wrong tokens a second', limitMs: 50 },
  { name: 'bigFrames', what: '50 MB frames, whole and in fragments', limitMs: 50 },
  { name: 'crowd', what: '1 000 clients connecting at once', limitMs: 25 },
];

export async function hostileRows(rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const attack of attacks) rows.push(await measure(attack, rounds));
  return rows;
}

async function measure({ name, what, limitMs, growthMb }: (typeof attacks)[number], rounds: number): Promise<Row> {
  const worst: number[] = [];
  const growth: number[] = [];
  let failed = 0;
  let connects = 0;
  let slowestConnect = 0;
  for (let round = 0; round < rounds; round += 1) {
    const server = await startGateway();
    await pause(300);
    const good = work<Bystander>('bystander', { url: server.url, token });
    const bad = work<{ ms: number }>('hostile', { url: server.url, token, port: server.port, attack: name });
    await Promise.all([good.heard('ready'), bad.heard('ready')]);
    const before = residentMb(server.pid);
    let highest = before;
    const sampler = setInterval(() => (highest = Math.max(highest, residentMb(server.pid))), 50);
    bad.say('go');
    await bad.heard('done');
    await pause(300);
    clearInterval(sampler);
    good.say('end');
    const seen = await good.result;
    bad.say('end');
    await bad.result;
    worst.push(seen.worstMs);
    growth.push(highest - before);
    failed += seen.failedConnects;
    connects += seen.connects;
    slowestConnect = Math.max(slowestConnect, seen.worstConnectMs);
    await server.stop();
  }
  const [time, grown] = [median(worst), median(growth)];
  const isSmall = growthMb === undefined || grown <= growthMb;
  return {
    what: `worst ping of others: ${what}`,
    value: ms(time),
    compared: `${connects} good connects, ${failed} failed, slowest ${ms(slowestConnect)}; memory +${mb(grown)}`,
    target: `≤ ${limitMs} ms, all connect${growthMb === undefined ? '' : `, memory ≤ +${growthMb} MB`}`,
    met: time <= limitMs && failed === 0 && isSmall,
  };
}
