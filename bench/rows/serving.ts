/** What serving costs, against a bare server that does the least that can be called the same. */
import { open } from '../load/socket.ts';
import { cpuMs, median, pause, type Server, startBare, startGateway, token, work } from '../process.ts';
import { ms, ratio, type Row, us } from './row.ts';

interface Documents {
  health: object;
  hello: object;
}

/** The gateway's own documents, so that the bare server carries the same weight. */
async function documentsOf(server: Server): Promise<Documents> {
  const ws = await open({ url: server.url, token });
  const ask = (frame: string) =>
    new Promise<{ payload: object }>((resolve) => {
      ws.on('message', (data: Buffer) => {
        const { type, payload } = JSON.parse(data.toString()) as { type: string; payload: object };
        if (type === 'res') resolve({ payload });
      });
      ws.send(frame);
    });
  const { payload: health } = await ask('{"type":"req","id":"h","method":"health"}');
  ws.terminate();
  return { health, hello: await helloOf(server) };
}

async function helloOf(server: Server): Promise<object> {
  const { WebSocket } = await import('ws');
  const { connectFrame } = await import('../load/socket.ts');
  const ws = new WebSocket(server.url);
  return new Promise((resolve) => {
    ws.on('open', () => ws.send(connectFrame(token)));
    ws.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as { type: string; payload: object };
      if (frame.type !== 'res') return;
      ws.terminate();
      resolve(frame.payload);
    });
  });
}

async function adopt(bare: Server, documents: Documents): Promise<void> {
  const ws = await open({ url: bare.url, token });
  const done = new Promise<void>((resolve) => ws.once('message', () => resolve()));
  ws.send(JSON.stringify({ type: 'req', id: 'adopt', method: 'adopt', params: documents }));
  await done;
  ws.terminate();
}

interface Pair {
  gateway: Server;
  bare: Server;
}

async function startPair(): Promise<Pair> {
  const gateway = await startGateway();
  const bare = await startBare();
  await adopt(bare, await documentsOf(gateway));
  return { gateway, bare };
}

const stopPair = async ({ gateway, bare }: Pair) => {
  await gateway.stop();
  await bare.stop();
};

/** Microseconds of processor time per request. */
async function costOf(server: Server, clients: number, durationMs: number, method = 'health'): Promise<number> {
  const load = work<{ count: number }>('requests', { url: server.url, token, clients, inFlight: 4, ms: durationMs, method });
  await load.heard('ready');
  const before = cpuMs(server.pid);
  load.say('go');
  await load.heard('done');
  const after = cpuMs(server.pid);
  load.say('end');
  const { count } = await load.result;
  return ((after - before) * 1_000) / count;
}

export async function requestRows(rounds: number, durationMs: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const clients of [1, 50]) {
    const costs: Record<'gateway' | 'bare', number[]> = { gateway: [], bare: [] };
    const ratios: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const pair = await startPair();
      // Code is compiled by use: the first second of each is nobody's number.
      for (const server of [pair.gateway, pair.bare]) await costOf(server, clients, 800);
      const gateway = await costOf(pair.gateway, clients, durationMs);
      const bare = await costOf(pair.bare, clients, durationMs);
      costs.gateway.push(gateway);
      costs.bare.push(bare);
      ratios.push(gateway / bare);
      await stopPair(pair);
    }
    const value = median(ratios);
    rows.push({
      what: `\`health\`, ${clients} client${clients === 1 ? '' : 's'}: server CPU per request`,
      value: `${ratio(value)} (${us(median(costs.gateway))})`,
      compared: `bare ws + JSON + AJV: ${us(median(costs.bare))}`,
      target: '≤ 1.1 ×',
      met: value <= 1.1,
      ...(clients === 50 ? { gate: value <= 2 } : {}),
    });
  }
  return rows;
}

export async function handshakeRows(rounds: number, durationMs: number): Promise<Row[]> {
  const perSecond: Record<'gateway' | 'bare', number[]> = { gateway: [], bare: [] };
  const shares: number[] = [];
  const rate = async (server: Server, length: number) => {
    const load = work<{ perSecond: number }>('handshakes', { url: server.url, token, atOnce: 16, ms: length });
    await load.heard('ready');
    load.say('go');
    return (await load.result).perSecond;
  };
  for (let round = 0; round < rounds; round += 1) {
    const pair = await startPair();
    // Code is compiled by use, and a connection passes through a lot of it: both are measured as they are after a while.
    for (const server of [pair.gateway, pair.bare]) await rate(server, 5_000);
    const gateway = await rate(pair.gateway, durationMs);
    const bare = await rate(pair.bare, durationMs);
    perSecond.gateway.push(gateway);
    perSecond.bare.push(bare);
    shares.push(gateway / bare);
    await stopPair(pair);
  }
  const share = median(shares);
  return [
    {
      what: 'handshakes a second, 16 at once',
      value: `${Math.round(share * 100)} % (${Math.round(median(perSecond.gateway))})`,
      compared: `bare: ${Math.round(median(perSecond.bare))}`,
      target: '≥ 60 %',
      met: share >= 0.6,
    },
  ];
}

const listeners = 500;
const fanOuts = 200;
const fanOutGapMs = 40;

/** Milliseconds of processor time to send one event to all listeners. */
async function fanOutCost(server: Server): Promise<number> {
  const crowd = work<{ events: number }>('hold', { url: server.url, token, clients: listeners, count: 'health' });
  await crowd.heard('ready');
  const ws = await open({ url: server.url, token });
  let answered = 0;
  let wake: () => void = () => {};
  ws.on('message', (data: Buffer) => {
    if (data[9] !== 0x72) return;
    answered += 1;
    wake();
  });
  const one = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
      ws.send('{"type":"req","id":"f","method":"health","params":{"probe":true}}');
    });
  // The gateway lets nobody make it send to everybody all the time: what costs t may be asked for every 10 t.
  for (let index = 0; index < 20; index += 1) await one().then(() => pause(fanOutGapMs));
  await pause(300);
  const before = cpuMs(server.pid);
  for (let index = 0; index < fanOuts; index += 1) await one().then(() => pause(fanOutGapMs));
  await pause(500);
  const after = cpuMs(server.pid);
  ws.terminate();
  crowd.say('end');
  const { events } = await crowd.result;
  if (answered < fanOuts || events < listeners * fanOuts)
    throw new Error(`${server.name}: ${events} events arrived of ${listeners * fanOuts}`);
  return (after - before) / fanOuts;
}

export async function fanOutRows(rounds: number): Promise<Row[]> {
  const costs: Record<'gateway' | 'bare', number[]> = { gateway: [], bare: [] };
  const gains: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const pair = await startPair();
    const gateway = await fanOutCost(pair.gateway);
    const bare = await fanOutCost(pair.bare);
    costs.gateway.push(gateway);
    costs.bare.push(bare);
    gains.push(bare / gateway);
    await stopPair(pair);
  }
  const gain = median(gains);
  return [
    {
      what: 'one event to 500 clients, server CPU',
      value: `${ratio(gain)} as fast (${ms(median(costs.gateway))})`,
      compared: `a loop of ws.send: ${ms(median(costs.bare))}`,
      target: '≥ 1.2 ×',
      met: gain >= 1.2,
    },
  ];
}
