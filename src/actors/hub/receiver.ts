/**
 * What `ws` offers no option for and is changed on its receiver instead: the part of a WebSocket that takes frames apart. It
 * is not public; tests fail when it is gone or has changed.
 */
import type { Writable } from 'node:stream';
import type { WebSocket } from 'ws';

interface Receiver extends Writable {
  _maxPayload: number;
}

const receiverOf = (ws: WebSocket) => (ws as unknown as { _receiver: Receiver })._receiver;

/** `ws` has one limit per server and we need two per connection: little before `hello-ok`, much after it. */
export function limitPayload(ws: WebSocket, bytes: number): void {
  receiverOf(ws)._maxPayload = bytes;
}

/**
 * `ws` ends its receiver when the other side is done and again when the socket closes. Node answers the second with an error
 * that nobody reads, and finding its stack was a sixth of what a connection costs.
 */
export function endOnce(ws: WebSocket): void {
  const receiver = receiverOf(ws);
  const end = receiver.end.bind(receiver);
  receiver.end = (...args: unknown[]) => (receiver.writableEnded ? receiver : end(...(args as [])));
}
