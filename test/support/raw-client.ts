/**
 * A client that does nothing by itself: it shows a test every frame as it came. Each frame is checked against the
 * definitions on arrival; what does not fit is collected, and fails the test at its end (see `setup.ts`).
 */
import { randomUUID } from 'node:crypto';
import { Ajv } from 'ajv';
import { WebSocket } from 'ws';
import { definitions } from '../../src/protocol/schema.ts';

export interface Frame {
  type: 'res' | 'event';
  id?: string;
  ok?: boolean;
  event?: string;
  // Whatever the gateway sent; a test looks into it as it needs.
  payload?: any; // oxlint-disable-line typescript/no-explicit-any
  error?: { code: string; message: string; details?: unknown; retryable?: boolean; retryAfterMs?: number };
  seq?: number;
  stateVersion?: { presence: number; health: number };
}

export interface Closed {
  code: number;
  reason: string;
}

/** Frames of any test so far that do not fit their definition. */
export const violations: string[] = [];

const ajv = new Ajv({ strict: false, validateFormats: false });
const schemas = definitions();
const checkOf = (name: string) => ajv.compile(schemas[name] as object);
const frameChecks = { res: checkOf('ResponseFrame'), event: checkOf('EventFrame') };
const helloCheck = checkOf('HelloOk');
const presenceCheck = checkOf('PresenceEntry');
const payloadChecks: Record<string, ReturnType<typeof checkOf>> = {
  agent: checkOf('AgentEvent'),
  chat: checkOf('ChatEvent'),
  tick: checkOf('TickEvent'),
  shutdown: checkOf('ShutdownEvent'),
  'node.invoke.request': checkOf('NodeInvokeRequestEvent'),
};

function inspectFrame(frame: Frame, text: string): void {
  const note = (what: string, errors: unknown) => void violations.push(`${what}: ${JSON.stringify(errors)} in ${text.slice(0, 500)}`);
  const check = frameChecks[frame.type] as (typeof frameChecks)['res'] | undefined;
  if (check === undefined) return note('unknown frame type', text.slice(0, 40));
  const { type } = frame;
  if (!check(frame)) note(type, check.errors);
  if (frame.payload?.type === 'hello-ok' && !helloCheck(frame.payload)) note('hello-ok', helloCheck.errors);
  const payloadCheck = frame.type === 'event' ? payloadChecks[frame.event ?? ''] : undefined;
  if (payloadCheck && !payloadCheck(frame.payload)) note(`event ${frame.event}`, payloadCheck.errors);
  if (frame.type === 'event' && frame.event === 'presence') {
    for (const entry of frame.payload.presence) if (!presenceCheck(entry)) note('presence entry', presenceCheck.errors);
  }
}

/** The smallest connect of a client with the right token. Members of `more` replace top-level ones; `client` is merged. */
export function goodConnect(more: Record<string, unknown> = {}): Record<string, unknown> {
  const { client, ...rest } = more;
  return {
    minProtocol: 3,
    maxProtocol: 3,
    client: { id: 'test', version: '1', platform: 'test', mode: 'test', ...(client as object | undefined) },
    auth: { token: 'test-token-0123456789abcdef0123456789abcdef' },
    ...rest,
  };
}

export class RawClient {
  readonly frames: Frame[] = [];
  readonly ws: WebSocket;
  readonly closed: Promise<Closed>;
  readonly #waiting = new Set<() => void>();

  constructor(ws: WebSocket) {
    this.ws = ws;
    this.closed = new Promise((resolve) => ws.once('close', (code, reason) => resolve({ code, reason: reason.toString() })));
    ws.on('message', (data, isBinary) => {
      const text = data.toString();
      if (isBinary) violations.push(`a binary message: ${text.slice(0, 200)}`);
      const frame = JSON.parse(text) as Frame;
      inspectFrame(frame, text);
      this.frames.push(frame);
      for (const check of this.#waiting) check();
    });
    ws.on('error', () => {});
    void this.closed.then(() => {
      for (const check of this.#waiting) check();
    });
  }

  /** Sends text as it is. */
  sendText(text: string): void {
    this.ws.send(text);
  }

  send(frame: unknown): void {
    this.ws.send(JSON.stringify(frame));
  }

  /** The first frame, past or future, that fits. */
  async find(fits: (frame: Frame) => boolean, ms = 10_000, from = 0): Promise<Frame> {
    const { promise, resolve, reject } = Promise.withResolvers<Frame>();
    const timer = setTimeout(() => reject(new Error(`no such frame; there were: ${this.summary()}`)), ms);
    const check = () => {
      const found = this.frames.slice(from).find(fits);
      if (found) resolve(found);
      else if (this.ws.readyState === WebSocket.CLOSED) reject(new Error(`closed without such a frame; there were: ${this.summary()}`));
    };
    this.#waiting.add(check);
    check();
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(check);
    });
  }

  summary(): string {
    return this.frames
      .map((frame) => (frame.type === 'res' ? `res ${frame.ok} ${JSON.stringify(frame.error?.message ?? '')}` : frame.event))
      .join(', ');
  }

  event(name: string, fits: (payload: Frame['payload'], frame: Frame) => boolean = () => true, ms?: number): Promise<Frame> {
    return this.find((frame) => frame.type === 'event' && frame.event === name && fits(frame.payload, frame), ms);
  }

  events(name: string): Frame[] {
    return this.frames.filter((frame) => frame.event === name);
  }

  response(id: string, ms?: number): Promise<Frame> {
    return this.find((frame) => frame.type === 'res' && frame.id === id, ms);
  }

  /** Both responses of a two-stage method. */
  async stages(id: string, ms?: number): Promise<[ack: Frame, final: Frame]> {
    const ack = await this.response(id, ms);
    const final = await this.find((frame) => frame.type === 'res' && frame.id === id && frame !== ack, ms);
    return [ack, final];
  }

  /** Sends a request and gives its first response, whether it is a result or a refusal. */
  request(method: string, params?: unknown, ms?: number): Promise<Frame> {
    const id = randomUUID();
    this.send({ type: 'req', id, method, ...(params === undefined ? {} : { params }) });
    return this.response(id, ms);
  }

  /** The payload of a successful request. */
  async call(method: string, params?: unknown, ms?: number): Promise<Frame['payload']> {
    const { ok, payload, error } = await this.request(method, params, ms);
    if (ok !== true) throw new Error(`${method} was refused: ${JSON.stringify(error)}`);
    return payload;
  }

  hello(params: Record<string, unknown> = goodConnect()): Promise<Frame> {
    return this.request('connect', params);
  }

  close(): void {
    this.ws.close();
  }
}

export async function openRaw(
  url: string,
  { headers = {}, path = '' }: { headers?: Record<string, string>; path?: string } = {},
): Promise<RawClient> {
  const ws = new WebSocket(`${url}${path}`, { perMessageDeflate: false, headers, maxPayload: 64 * 1024 * 1024 });
  const client = new RawClient(ws);
  await new Promise<void>((resolve, reject) => {
    ws.once('open', resolve);
    ws.once('error', reject);
    ws.once('unexpected-response', (_request, response) => {
      response.resume();
      reject(Object.assign(new Error(`HTTP ${response.statusCode}`), { statusCode: response.statusCode }));
    });
  });
  return client;
}
