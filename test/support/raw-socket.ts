/** A TCP connection that says byte for byte what a test wants said, and reads only when it is told to. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

export interface ServerFrame {
  opcode: number;
  payload: Buffer;
}

export const upgradeRequest = (port: number) =>
  `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`;

/** A client frame; its mask is all zero, so the payload is readable as it lies. */
export function frame(data: string | Buffer, { opcode = 1, fin = true, length }: { opcode?: number; fin?: boolean; length?: number } = {}) {
  const payload = Buffer.from(data);
  const claimed = length ?? payload.length;
  const first = (fin ? 0x80 : 0) | opcode;
  const mask = Buffer.alloc(4);
  if (claimed < 126) return Buffer.concat([Buffer.from([first, 0x80 | claimed]), mask, payload]);
  const head = Buffer.alloc(claimed < 65_536 ? 4 : 10);
  head[0] = first;
  if (claimed < 65_536) {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(claimed, 2);
  } else {
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(claimed), 2);
  }
  return Buffer.concat([head, mask, payload]);
}

export class RawSocket {
  readonly socket: Socket;
  /** Whatever was received, the HTTP answer first. */
  received = Buffer.alloc(0);
  readonly closed: Promise<void>;
  readonly #waiting = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      for (const check of this.#waiting) check();
    });
  }

  send(data: string | Buffer): void {
    this.socket.write(data);
  }

  /** Resolves once the other end has taken everything. */
  sent(data: string | Buffer): Promise<void> {
    return new Promise((resolve) => this.socket.write(data, () => resolve()));
  }

  frames(): ServerFrame[] {
    const found: ServerFrame[] = [];
    let at = this.received.indexOf('\r\n\r\n') + 4;
    while (at + 2 <= this.received.length) {
      const opcode = (this.received[at] as number) & 0x0f;
      const short = (this.received[at + 1] as number) & 0x7f;
      const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (at + headBytes > this.received.length) break;
      const length =
        short < 126 ? short : short === 126 ? this.received.readUInt16BE(at + 2) : Number(this.received.readBigUInt64BE(at + 2));
      if (at + headBytes + length > this.received.length) break;
      found.push({ opcode, payload: this.received.subarray(at + headBytes, at + headBytes + length) });
      at += headBytes + length;
    }
    return found;
  }

  /** Code and reason of the close frame, when there was one. */
  closeFrame(): { code: number; reason: string } | undefined {
    const found = this.frames().find(({ opcode }) => opcode === 8);
    return found && { code: found.payload.readUInt16BE(0), reason: found.payload.subarray(2).toString() };
  }

  async until(fits: () => boolean, ms = 10_000): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error(`never received; there was: ${this.received.toString().slice(0, 500)}`)), ms);
    const check = () => {
      if (fits()) resolve();
    };
    this.#waiting.add(check);
    check();
    void this.closed.then(check);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(check);
    });
  }

  end(): void {
    this.socket.destroy();
  }
}

export function openTcp(port: number): Promise<RawSocket> {
  const socket = connect(port, '127.0.0.1');
  const raw = new RawSocket(socket);
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(raw));
    socket.once('error', reject);
  });
}

/** A WebSocket that was opened and said nothing yet. */
export async function openUpgraded(port: number): Promise<RawSocket> {
  const raw = await openTcp(port);
  raw.send(upgradeRequest(port));
  await raw.until(() => raw.frames().length > 0);
  return raw;
}
