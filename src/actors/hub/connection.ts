/** One WebSocket connection: what is known of the other end, and the only way to write to it. */
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import type { Identity } from '../../protocol/context.ts';
import type { ErrorPayload } from '../../protocol/errors.ts';
import { closeReason } from '../../protocol/limits.ts';
import { frameOf } from './frame.ts';
import type { Remote } from './remote.ts';

/** Beyond this a client reads slower than it asks. */
const behindBytes = 1024 * 1024;

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
  /** Whether it is in the presence list: command lines are not. */
  isListed = false;
  /** Of which conversations a node hears the runs; operators hear all. */
  follows: Set<string> | undefined;
  /** Called when it cannot be given what it must not miss; whoever serves it says what follows. */
  fellBehind: () => void = () => this.ws.terminate();
  requests = 0;
  /** Messages that were read and not served yet. */
  readonly backlog: RawData[] = [];
  /** What had gone over the wire at the last look. */
  #seen = { read: -1, taken: 0, wasBehind: false };
  #holds = 0;
  #isReading = false;

  constructor(ws: WebSocket, socket: Socket, remote: Remote, ids: { connId: string; nonce: string; now: number }) {
    this.ws = ws;
    this.socket = socket;
    this.remote = remote;
    this.connId = ids.connId;
    this.nonce = ids.nonce;
    this.openedAt = ids.now;
    // The pong is on its way already. A peer that only pings and never reads would fill our memory with them.
    ws.on('ping', () => {
      if (this.isBehind) this.socket.once('drain', this.holdBack());
    });
    // Before and after `ws` itself: what is answered in between answers what came in one piece.
    socket.prependListener('data', () => {
      this.#isReading = true;
    });
    socket.on('data', () => {
      this.#isReading = false;
      if (socket.writableCorked > 0) socket.uncork();
    });
  }

  /** Bytes accepted for this client that the kernel has not taken yet. */
  get buffered(): number {
    return this.socket.writableLength;
  }

  get isBehind(): boolean {
    return this.buffered > behindBytes;
  }

  /** Stops reading until the returned function is called. Several may want it at the same time. */
  holdBack(): () => void {
    let isHeld = true;
    this.#holds += 1;
    this.ws.pause();
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holds -= 1;
      if (this.#holds === 0) this.ws.resume();
    };
  }

  /**
   * Whether the other end gave a sign of life since the last call: something was heard (the pong to our ping, or a part of a
   * large frame that its pong has to wait behind), or the kernel, whose buffer had been full, could take more from us.
   */
  wasAlive(): boolean {
    const { read, taken, wasBehind } = this.#seen;
    const now = { read: this.socket.bytesRead, taken: this.socket.bytesWritten - this.buffered, wasBehind: this.buffered > 0 };
    this.#seen = now;
    return now.read > read || (wasBehind && now.taken > taken);
  }

  get isOpen(): boolean {
    return this.ws.readyState === this.ws.OPEN;
  }

  send(frame: object): void {
    if (!this.isOpen) return;
    this.socket.write(frameOf(JSON.stringify(frame)));
    // A client that asks several things at once gets the first answer at once, and all the others in one write.
    if (this.#isReading && this.socket.writableCorked === 0) this.socket.cork();
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

/** Under which id a message can be answered, when it can. */
export function requestIdOf(text: string): string | undefined {
  try {
    const { id } = (JSON.parse(text) ?? {}) as { id?: unknown };
    return typeof id === 'string' && id !== '' ? id : undefined;
  } catch {
    return undefined;
  }
}
