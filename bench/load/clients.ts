/** Well-behaved clients: asking, arriving, and simply being there. */
import type { WebSocket } from 'ws';
import type { Cue } from '../load.ts';
import { open, openMany, type Peer } from './socket.ts';

/** Asks as fast as the answers come, with a fixed number of questions under way per client. */
export async function requests(
  options: Peer & { clients: number; inFlight: number; ms: number; method: string; params?: object; adopt?: object },
  cue: Cue,
): Promise<{ count: number; ms: number }> {
  const sockets = await openMany(options, options.clients);
  if (options.adopt) {
    for (const ws of sockets.slice(0, 1)) ws.send(JSON.stringify({ type: 'req', id: 'adopt', method: 'adopt', params: options.adopt }));
  }
  cue.say('ready');
  await cue.told('go');
  let count = 0;
  let isOver = false;
  const frame = (id: number) =>
    JSON.stringify({ type: 'req', id: String(id), method: options.method, ...(options.params ? { params: options.params } : {}) });
  let id = 0;
  for (const ws of sockets) {
    ws.on('message', (data: Buffer) => {
      // Events may come in between; only an answer makes room for the next question.
      if (data[9] !== 0x72 || isOver) return; // `{"type":"r…`
      count += 1;
      ws.send(frame(id++));
    });
    for (let index = 0; index < options.inFlight; index += 1) ws.send(frame(id++));
  }
  const from = performance.now();
  await new Promise((resolve) => setTimeout(resolve, options.ms));
  isOver = true;
  const ms = performance.now() - from;
  cue.say('done');
  await cue.told('end');
  for (const ws of sockets) ws.terminate();
  return { count, ms };
}

/** Connects, is greeted, leaves, and comes again, a fixed number at once. */
export async function handshakes(options: Peer & { atOnce: number; ms: number }, cue: Cue): Promise<{ perSecond: number; failed: number }> {
  (await open(options)).terminate();
  cue.say('ready');
  await cue.told('go');
  let done = 0;
  let failed = 0;
  const from = performance.now();
  const worker = async () => {
    while (performance.now() - from < options.ms) {
      await open(options).then(
        (ws) => {
          done += 1;
          ws.terminate();
        },
        () => (failed += 1),
      );
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, worker));
  return { perSecond: (done * 1_000) / (performance.now() - from), failed };
}

/** Stays connected until told to end, and counts the events of a kind that reach it. */
export async function hold(
  options: Peer & { clients: number; mode?: string; count?: string; atOnce?: number },
  cue: Cue,
): Promise<{ events: number; told: number; closed: number }> {
  let events = 0;
  let told = 0;
  let closed = 0;
  const wanted = Buffer.from(`{"type":"event","event":"${options.count ?? 'none'}"`);
  const shutdown = Buffer.from('{"type":"event","event":"shutdown"');
  const sockets: WebSocket[] = await openMany(options, options.clients, {
    ...(options.mode ? { mode: options.mode } : {}),
    ...(options.atOnce ? { atOnce: options.atOnce } : {}),
  });
  for (const ws of sockets) {
    ws.on('message', (data: Buffer) => {
      if (data.subarray(0, wanted.length).equals(wanted)) events += 1;
      else if (data.subarray(0, shutdown.length).equals(shutdown)) told += 1;
    });
    ws.on('close', () => (closed += 1));
  }
  cue.say('ready');
  await cue.told('end');
  for (const ws of sockets) ws.terminate();
  return { events, told, closed };
}
