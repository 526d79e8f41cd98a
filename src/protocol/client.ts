/**
 * The typed client of the gateway, for our command line and for programs (`openclaw-gateway/client`). Connects, asks, listens;
 * with `reconnect` it comes back by itself. Frame types are those of the definitions, so a change there shows here.
 */
import { randomUUID } from 'node:crypto';
import { WebSocket } from 'ws';
import { ConnectionError, RequestError } from './client-errors.ts';
import { type ClientEvent, EventBuffer } from './client-events.ts';
import type { ConnectParams, EventFrame, HelloOk, ResponseFrame } from './frames.ts';
import { limits } from './limits.ts';

export { ConnectionError, RequestError } from './client-errors.ts';
export type { ClientEvent } from './client-events.ts';

export interface ClientOptions {
  /** `ws://` or `wss://`; `http(s)://` is understood too. */
  url: string;
  token?: string;
  password?: string;
  client?: Partial<ConnectParams['client']>;
  role?: 'operator' | 'node';
  scopes?: string[];
  /** For connecting with its handshake, and for each request; milliseconds, default 10 000. */
  timeoutMs?: number;
  /** Come back after a lost connection, with growing delays, until `close` is called. */
  reconnect?: boolean;
}

export interface RequestOptions {
  timeoutMs?: number;
  /** Two-stage methods: wait for the second response. */
  expectFinal?: boolean;
  /** Called with the acknowledgement of a two-stage method. */
  onAccepted?: (payload: unknown) => void;
  /** Stops waiting. What the gateway does with the request is not touched. */
  signal?: AbortSignal;
}

export type EventHandler = (event: EventFrame) => void;

interface Pending {
  resolve(payload: unknown): void;
  reject(error: unknown): void;
  options: RequestOptions;
}

const defaultTimeoutMs = 10_000;
/** A timer of Node cannot wait longer. */
const maxTimeoutMs = 2 ** 31 - 1;
/** A peer that does not answer the close must not keep a program waiting. */
const closeGraceMs = 250;

/** Pause before the given attempt to come back: grows to half a minute, and spreads clients that were cut off together. */
export function reconnectDelay(attempt: number, random: () => number = Math.random): number {
  return Math.min(30_000, 1_000 * 2 ** Math.min(attempt, 10)) * (0.8 + 0.4 * random());
}

export class GatewayClient {
  readonly #options: ClientOptions;
  readonly #url: string;
  readonly #pending = new Map<string, Pending>();
  readonly #handlers = new Map<string, Set<EventHandler>>();
  readonly #buffers = new Set<EventBuffer>();
  #ws: WebSocket | undefined;
  #hello: HelloOk | undefined;
  #isClosed = false;
  #attempt = 0;
  #retryTimer: NodeJS.Timeout | undefined;
  #tickTimer: NodeJS.Timeout | undefined;
  #lastFrameAt = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#url = options.url.replace(/^http/, 'ws');
  }

  /** The newest greeting; `undefined` while not connected. */
  get hello(): HelloOk | undefined {
    return this.#hello;
  }

  get isConnected(): boolean {
    return this.#hello !== undefined && this.#ws?.readyState === WebSocket.OPEN;
  }

  /** Resolves with the greeting. A refusal rejects with `RequestError`, an unreachable gateway with `ConnectionError`. */
  async connect(): Promise<HelloOk> {
    const { timeoutMs = defaultTimeoutMs } = this.#options;
    const until = performance.now() + timeoutMs;
    const ws = this.#openSocket();
    this.#ws = ws;
    try {
      await opened(ws, this.#url, timeoutMs);
      // The challenge is only needed by those who sign it; nothing has to be waited for.
      const hello = (await this.#send(ws, 'connect', this.#connectParams(), { timeoutMs: until - performance.now() })) as HelloOk;
      this.#hello = hello;
      this.#attempt = 0;
      this.#watchTicks(ws, hello.policy.tickIntervalMs);
      return hello;
    } catch (error) {
      this.#discard(ws, 1000, '');
      throw error;
    }
  }

  /** @returns the payload of the response. */
  async request<T = unknown>(method: string, params: object = {}, options: RequestOptions = {}): Promise<T> {
    options.signal?.throwIfAborted();
    if (!this.#ws || !this.isConnected)
      throw new ConnectionError('not connected to the gateway', { url: this.#url, reason: 'not connected' });
    return (await this.#send(this.#ws, method, params, options)) as T;
  }

  /** @param event name, or `*` for all. Returns a function that stops listening. */
  on(event: string, handler: EventHandler): () => void {
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers);
    handlers.add(handler);
    return () => handlers.delete(handler);
  }

  /** All events from this call on, also across lost connections. Ends with `close`. */
  events(): AsyncGenerator<ClientEvent, void, void> {
    const buffer = new EventBuffer();
    if (this.#isClosed) buffer.end();
    else this.#buffers.add(buffer);
    return buffer.read(() => this.#buffers.delete(buffer));
  }

  close(code = 1000, reason = ''): void {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    const ws = this.#ws;
    if (ws) this.#lose(ws, code, reason || 'closed by this client');
    else this.#endBuffers();
    if (ws) this.#discard(ws, code, reason);
  }

  #openSocket(): WebSocket {
    let ws: WebSocket;
    try {
      ws = new WebSocket(this.#url, { perMessageDeflate: false, maxPayload: limits.clientMaxPayload });
    } catch (error) {
      throw new ConnectionError('the address of the gateway is not valid', { url: this.#url, reason: 'address' }, error);
    }
    ws.on('message', (data: Buffer) => this.#onFrame(ws, data));
    ws.on('error', () => {
      // 'close' follows and says more.
    });
    ws.on('close', (code, reason) => this.#lose(ws, code, reason.toString()));
    return ws;
  }

  #connectParams(): ConnectParams {
    const { token, password, client, role, scopes } = this.#options;
    const auth = { ...(token === undefined ? {} : { token }), ...(password === undefined ? {} : { password }) };
    return {
      minProtocol: 3,
      maxProtocol: 3,
      client: { id: 'gateway-client', version: '1', platform: process.platform, mode: 'backend', ...client },
      ...(role === undefined ? {} : { role }),
      ...(scopes === undefined ? {} : { scopes }),
      ...(Object.keys(auth).length > 0 ? { auth } : {}),
    };
  }

  #send(ws: WebSocket, method: string, params: object, options: RequestOptions): Promise<unknown> {
    const id = randomUUID();
    const timeoutMs = Math.max(1, Math.round(options.timeoutMs ?? this.#options.timeoutMs ?? defaultTimeoutMs));
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(
      () =>
        reject(new ConnectionError(`the gateway did not answer ${method} within ${timeoutMs} ms`, { url: this.#url, reason: 'timeout' })),
      Math.min(timeoutMs, maxTimeoutMs),
    );
    const onAbort = () => reject(options.signal?.reason);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    this.#pending.set(id, { resolve, reject, options });
    ws.send(JSON.stringify({ type: 'req', id, method, params }), (error) => {
      if (error) reject(new ConnectionError('the connection to the gateway ended', { url: this.#url, code: 1006 }, error));
    });
    return promise.finally(() => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      this.#pending.delete(id);
    });
  }

  #onFrame(ws: WebSocket, data: Buffer): void {
    if (ws !== this.#ws) return;
    this.#lastFrameAt = performance.now();
    let frame: ResponseFrame | EventFrame;
    try {
      frame = JSON.parse(data.toString()) as ResponseFrame | EventFrame;
    } catch {
      // Whoever speaks like this is no gateway.
      this.#lose(ws, 1002, 'the peer sent something that is not JSON');
      return this.#discard(ws, 1002, 'not JSON');
    }
    if (frame.type === 'event') this.#onEvent(frame);
    else this.#onResponse(frame);
  }

  #onEvent(frame: EventFrame): void {
    for (const buffer of this.#buffers) buffer.push(frame);
    for (const name of [frame.event, '*']) for (const handler of this.#handlers.get(name) ?? []) handler(frame);
  }

  #onResponse(frame: ResponseFrame): void {
    const pending = this.#pending.get(frame.id);
    if (pending === undefined) return;
    const { options, resolve, reject } = pending;
    const isAck = frame.ok && (frame.payload as { status?: string } | null | undefined)?.status === 'accepted';
    if (isAck) {
      options.onAccepted?.(frame.payload);
      if (options.expectFinal) return;
    }
    if (frame.ok) resolve(frame.payload);
    else reject(new RequestError(frame.error ?? { code: 'UNAVAILABLE', message: 'refused without a reason' }, frame.payload));
  }

  /** The connection is gone, by whichever sign showed it first. Later signs of the same socket mean nothing. */
  #lose(ws: WebSocket, code: number, reason: string): void {
    if (ws !== this.#ws) return;
    const wasGreeted = this.#hello !== undefined;
    this.#ws = undefined;
    this.#hello = undefined;
    clearInterval(this.#tickTimer);
    const error = new ConnectionError(`the connection to the gateway was closed (${code}${reason ? `, ${reason}` : ''})`, {
      url: this.#url,
      code,
      reason,
    });
    for (const { reject } of this.#pending.values()) reject(error);
    if (this.#isClosed || !this.#options.reconnect) return this.#endBuffers();
    for (const buffer of this.#buffers) buffer.markGap();
    // A failed attempt is answered by whoever made it.
    if (wasGreeted) this.#comeBack();
  }

  #comeBack(): void {
    this.#retryTimer = setTimeout(() => {
      this.connect().catch(() => {
        if (!this.#isClosed) this.#comeBack();
      });
    }, reconnectDelay(this.#attempt));
    this.#attempt += 1;
  }

  /** A gateway that says nothing for two ticks is gone, whatever the socket believes. */
  #watchTicks(ws: WebSocket, intervalMs: number): void {
    clearInterval(this.#tickTimer);
    this.#lastFrameAt = performance.now();
    this.#tickTimer = setInterval(() => {
      if (performance.now() - this.#lastFrameAt <= 2 * intervalMs) return;
      this.#lose(ws, 4000, 'tick timeout');
      this.#discard(ws, 4000, 'tick timeout');
    }, intervalMs / 4);
    this.#tickTimer.unref();
  }

  #discard(ws: WebSocket, code: number, reason: string): void {
    if (this.#ws === ws) this.#ws = undefined;
    if (ws.readyState === WebSocket.CLOSED) return;
    ws.close(code, reason);
    setTimeout(() => ws.terminate(), closeGraceMs).unref();
  }

  #endBuffers(): void {
    for (const buffer of this.#buffers) buffer.end();
    this.#buffers.clear();
  }
}

/** Connects once. With `reconnect` the client looks after itself from then on. */
export async function connect(options: ClientOptions): Promise<GatewayClient> {
  const client = new GatewayClient(options);
  try {
    await client.connect();
  } catch (error) {
    client.close();
    throw error;
  }
  return client;
}

function opened(ws: WebSocket, url: string, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string, cause?: unknown) =>
      reject(new ConnectionError(`cannot reach the gateway (${reason})`, { url, reason }, cause));
    // The library's own limit starts anew with each redirect and address; this one does not.
    const timer = setTimeout(() => fail(`no connection within ${timeoutMs} ms`), Math.min(timeoutMs, maxTimeoutMs));
    ws.once('open', () => {
      clearTimeout(timer);
      resolve();
    });
    ws.once('error', (error: NodeJS.ErrnoException & { errors?: NodeJS.ErrnoException[] }) => {
      clearTimeout(timer);
      fail(error.code ?? error.errors?.[0]?.code ?? error.message, error);
    });
    ws.once('close', () => clearTimeout(timer));
  });
}
