/** Signs of life of a connection, between one ping and the next (F-37). */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { Connection } from '../../src/actors/hub/connection.ts';

function startConnection() {
  const socket = Object.assign(new EventEmitter(), { bytesRead: 100, bytesWritten: 1_000, writableLength: 0 });
  let reads = true;
  const ws = Object.assign(new EventEmitter(), {
    pause: () => void (reads = false),
    resume: () => void (reads = true),
  });
  const remote = { ip: '127.0.0.1', isLoopback: true, isLocal: true, untrustedProxy: false, host: 'localhost' };
  const ids = { connId: 'c', nonce: 'n', now: 0 };
  const connection = new Connection(ws as unknown as WebSocket, socket as unknown as Socket, remote, ids);
  return { connection, socket, ws, reads: () => reads };
}

it('a peer is alive when it said anything since the last ping, a pong or a part of a frame', () => {
  const { connection, socket } = startConnection();
  expect(connection.wasAlive()).toBe(true);
  socket.bytesRead += 6;
  expect(connection.wasAlive()).toBe(true);
  socket.bytesWritten += 500;
  expect(connection.wasAlive()).toBe(false);
});

it('a peer that slowly takes what waits for it is alive, one that takes nothing is not', () => {
  const { connection, socket } = startConnection();
  connection.wasAlive();
  socket.bytesRead += 1;
  socket.bytesWritten += 5_000_000;
  socket.writableLength = 4_000_000;
  expect(connection.wasAlive()).toBe(true);
  socket.writableLength = 3_000_000;
  expect(connection.wasAlive()).toBe(true);
  expect(connection.wasAlive()).toBe(false);
});

it('reading goes on when the last who held it back lets go', () => {
  const { connection, reads } = startConnection();
  const first = connection.holdBack();
  const second = connection.holdBack();
  first();
  first();
  expect(reads()).toBe(false);
  second();
  expect(reads()).toBe(true);
});

it('a peer that only pings is not read while its pongs pile up', () => {
  const { socket, ws, reads } = startConnection();
  ws.emit('ping');
  expect(reads()).toBe(true);
  socket.writableLength = 2_000_000;
  ws.emit('ping');
  ws.emit('ping');
  expect(reads()).toBe(false);
  socket.writableLength = 0;
  socket.emit('drain');
  expect(reads()).toBe(true);
});
