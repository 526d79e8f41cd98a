/** One WebSocket connection: what is known of the other end, and the only way to write to it. */
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import type { Identity } from '../../protocol/context.ts';
import type { ErrorPayload } from '../../protocol/errors.ts';
import { closeReason } from '../../protocol/limits.ts';
import type { Remote } from './remote.ts';

export class Connection {
  readonly connId: string;
  readonly ws: WebSocket;
  readonly socket: Socket;
  readonly remote: Remote;
  /** The nonce of this connection's challenge. */
  readonly nonce: string;
  readonly openedAt: number;
  /** Set when the handshake succeeded. */
  identity: Identity | undefined;
  /** Key of this connection's presence entry, when it has one. */
  presenceKey: string | undefined;
  /** False between a ping and its pong. */
  answered = true;
  requests = 0;

  constructor(ws: WebSocket, socket: Socket, remote: Remote, ids: { connId: string; nonce: string; now: number }) {
    this.ws = ws;
    this.socket = socket;
    this.remote = remote;
    this.connId = ids.connId;
    this.nonce = ids.nonce;
    this.openedAt = ids.now;
  }

  /** Bytes accepted for this client that the kernel has not taken yet. */
  get buffered(): number {
    return this.socket.writableLength;
  }

  get isOpen(): boolean {
    return this.ws.readyState === this.ws.OPEN;
  }

  send(frame: object): void {
    if (this.isOpen) this.ws.send(JSON.stringify(frame));
  }

  respond(id: string, payload: unknown): void {
    this.send({ type: 'res', id, ok: true, payload });
  }

  /** `payload` only where a failure carries one (the final response of a run). */
  refuse(id: string, error: ErrorPayload, payload?: unknown): void {
    this.send({ type: 'res', id, ok: false, ...(payload === undefined ? {} : { payload }), error });
  }

  close(code: number, reason: string): void {
    this.ws.close(code, closeReason(reason));
  }
}

/** Text of a message, whichever way the client sent it: Swift clients send JSON as binary. */
export function textOf(data: RawData): string {
  if (Buffer.isBuffer(data)) return data.toString('utf8');
  return Array.isArray(data) ? Buffer.concat(data).toString('utf8') : Buffer.from(data).toString('utf8');
}

/** Id of a request that is not served but still deserves its answer. */
export function requestIdOf(text: string): string | undefined {
  try {
    const { id } = JSON.parse(text) as { id?: unknown };
    return typeof id === 'string' && id !== '' ? id : undefined;
  } catch {
    return undefined;
  }
}
