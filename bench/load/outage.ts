/** What clients notice of a restart: one that is connected and comes back, and newcomers who arrive all the time. */
import type { WebSocket } from 'ws';
import type { Cue } from '../load.ts';
import { open, pause, type Peer } from './socket.ts';

export interface Outage {
  /** From the signal to the greeting of the client that was connected, once per restart. */
  connectedMs: number[];
  /** Longest wait of anybody who arrived. */
  newcomerMs: number;
  newcomers: number;
  refused: number;
}

/** `signal` asks the measuring side to send it; the answer is that it was sent. */
export async function outage(options: Peer & { rounds: number; gapMs: number }, cue: Cue): Promise<Outage> {
  const connectedMs: number[] = [];
  let newcomerMs = 0;
  let newcomers = 0;
  let refused = 0;
  let isOver = false;
  const arriving = (async () => {
    while (!isOver) {
      const from = performance.now();
      await open(options, { instance: 'newcomer' }).then(
        (ws) => {
          newcomers += 1;
          newcomerMs = Math.max(newcomerMs, performance.now() - from);
          ws.terminate();
        },
        (error: Error) => {
          // A connection that is cut by the restart may come again; one that is refused may not happen.
          if (error.message === 'ECONNREFUSED') refused += 1;
        },
      );
    }
  })();
  cue.say('ready');
  for (let round = 0; round < options.rounds; round += 1) {
    const ws = await open(options, { instance: 'connected' });
    const closed = new Promise<void>((resolve) => ws.once('close', () => resolve()));
    const from = performance.now();
    cue.say(`signal-${round}`);
    await closed;
    const again = await comeBack(options);
    connectedMs.push(performance.now() - from);
    again.terminate();
    await pause(options.gapMs);
  }
  isOver = true;
  await arriving;
  return { connectedMs, newcomerMs, newcomers, refused };
}

async function comeBack(peer: Peer): Promise<WebSocket> {
  for (;;) {
    try {
      return await open(peer, { instance: 'connected' });
    } catch {
      // Cut once more by the same restart: try again at once, as a user would.
    }
  }
}
