/** Clients that wish nobody well. Each does its worst once and stays until told to end. */
import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { Cue } from '../load.ts';
import { connectFrame, open, pause, type Peer } from './socket.ts';

type Attack = (peer: Peer, host: { port: number }) => Promise<() => void>;

const attacks: Readonly<Record<string, Attack>> = {
  /** 20 000 frames that are JSON and no request. */
  async malformed(peer) {
    const ws = await open(peer);
    for (let index = 0; index < 20_000; index += 1) ws.send('{"type":"res","id":7,"what":[1,2,3]}');
    await answered(ws, 20_000);
    return () => ws.terminate();
  },
  /** 100 000 questions of somebody who never reads an answer. */
  async neverReads(peer) {
    const ws = await open(peer);
    ws.pause();
    const socket = (ws as unknown as { _socket: Socket })._socket;
    socket.pause();
    for (let index = 0; index < 100_000; index += 1) {
      ws.send(`{"type":"req","id":"${index}","method":"health"}`);
      if (index % 500 === 0) await pause(1);
    }
    return () => ws.terminate();
  },
  /** 10 000 upgraded sockets that never introduce themselves. */
  async strangers(peer) {
    const sockets: WebSocket[] = [];
    await inBatches(10_000, 100, () => {
      const ws = new WebSocket(peer.url, { perMessageDeflate: false });
      ws.on('error', () => {});
      sockets.push(ws);
    });
    return () => sockets.forEach((ws) => ws.terminate());
  },
  /** 10 000 connections that never send a byte. */
  async silent(_peer, { port }) {
    const sockets: Socket[] = [];
    await inBatches(10_000, 200, () => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      sockets.push(socket);
    });
    return () => sockets.forEach((socket) => socket.destroy());
  },
  /** 300 wrong tokens a second, for three seconds. */
  async wrongTokens(peer) {
    for (let second = 0; second < 30; second += 1) {
      for (let index = 0; index < 30; index += 1) {
        const ws = new WebSocket(peer.url, { perMessageDeflate: false });
        ws.on('error', () => {});
        ws.on('open', () => ws.send(connectFrame('a wrong token that is as long as a right one')));
      }
      await pause(100);
    }
    return () => {};
  },
  /** Frames of 50 MB, whole and in pieces, before and after the greeting. */
  async bigFrames(peer) {
    const big = Buffer.alloc(50 * 1024 * 1024, 0x20);
    for (const pieces of [1, 50]) {
      for (const greet of [true, false]) {
        const ws = greet ? await open(peer) : await upgraded(peer);
        const closed = new Promise<void>((resolve) => ws.once('close', () => resolve()));
        const size = big.length / pieces;
        for (let index = 0; index < pieces && ws.readyState === ws.OPEN; index += 1) {
          ws.send(big.subarray(index * size, (index + 1) * size), { fin: index === pieces - 1, binary: true }, () => {});
          await pause(0);
        }
        await Promise.race([closed, pause(5_000)]);
        ws.terminate();
      }
    }
    return () => {};
  },
  /** 1 000 clients who all come at once, and are welcome. */
  async crowd(peer) {
    const sockets = await Promise.all(Array.from({ length: 1_000 }, (_, index) => open(peer, { instance: `crowd-${index}` })));
    return () => sockets.forEach((ws) => ws.terminate());
  },
};

export async function hostile(options: Peer & { attack: string; port: number }, cue: Cue): Promise<{ ms: number }> {
  const attack = attacks[options.attack];
  if (attack === undefined) throw new Error(`no such attack: ${options.attack}`);
  cue.say('ready');
  await cue.told('go');
  const from = performance.now();
  const leave = await attack(options, options);
  const ms = performance.now() - from;
  cue.say('done');
  await cue.told('end');
  leave();
  return { ms };
}

async function inBatches(count: number, size: number, make: () => void): Promise<void> {
  for (let index = 0; index < count; index += size) {
    for (let each = 0; each < size; each += 1) make();
    await pause(5);
  }
  await pause(500);
}

function answered(ws: WebSocket, count: number): Promise<void> {
  let seen = 0;
  return new Promise((resolve) => {
    ws.on('message', () => {
      seen += 1;
      if (seen >= count) resolve();
    });
    ws.once('close', () => resolve());
  });
}

function upgraded(peer: Peer): Promise<WebSocket> {
  const ws = new WebSocket(peer.url, { perMessageDeflate: false });
  ws.on('error', () => {});
  return new Promise((resolve) => ws.once('open', () => resolve(ws)));
}
