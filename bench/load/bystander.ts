/** Somebody who only wants to be served while others do what they do: asks all the time, and comes anew now and then. */
import type { Cue } from '../load.ts';
import { open, pause, type Peer } from './socket.ts';

export interface Bystander {
  pings: number;
  worstMs: number;
  p99Ms: number;
  connects: number;
  worstConnectMs: number;
  failedConnects: number;
}

const pingEveryMs = 5;
const connectEveryMs = 100;

export async function bystander(peer: Peer, cue: Cue): Promise<Bystander> {
  const ws = await open(peer, { instance: 'bystander' });
  const times: number[] = [];
  let connects = 0;
  let failedConnects = 0;
  let worstConnectMs = 0;
  let isOver = false;
  let answer: () => void = () => {};
  ws.on('message', (data: Buffer) => {
    if (data[9] === 0x72) answer();
  });
  const ask = () =>
    new Promise<void>((resolve, reject) => {
      const onClose = () => reject(new Error('the bystander was closed'));
      ws.once('close', onClose);
      answer = () => {
        ws.off('close', onClose);
        resolve();
      };
      ws.send('{"type":"req","id":"p","method":"health"}');
    });

  const pinging = (async () => {
    while (!isOver) {
      const from = performance.now();
      await ask();
      times.push(performance.now() - from);
      await pause(pingEveryMs);
    }
  })();
  const connecting = (async () => {
    while (!isOver) {
      const from = performance.now();
      await open(peer, { instance: 'newcomer' }).then(
        (newcomer) => {
          connects += 1;
          worstConnectMs = Math.max(worstConnectMs, performance.now() - from);
          newcomer.terminate();
        },
        () => (failedConnects += 1),
      );
      await pause(connectEveryMs);
    }
  })();

  // A few quiet rounds first: nobody's first answer says anything about the load.
  await pause(300);
  times.length = 0;
  worstConnectMs = 0;
  cue.say('ready');
  await cue.told('end');
  isOver = true;
  await Promise.all([pinging, connecting]);
  ws.terminate();
  const sorted = [...times].sort((a, b) => a - b);
  return {
    pings: sorted.length,
    worstMs: sorted.at(-1) ?? 0,
    p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
    connects,
    worstConnectMs,
    failedConnects,
  };
}
