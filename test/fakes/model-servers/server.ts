/**
 * A real HTTP server that speaks the OpenAI-compatible and the Anthropic wire, answers from a script, misbehaves on
 * request, and remembers what it saw: every request with its body and headers, and the moment a client hung up.
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { anthropicError, anthropicEvents } from './anthropic-wire.ts';
import { openaiError, openaiEvents } from './openai-wire.ts';
import type { Fault, ListedModel, Reply, WireEvent } from './script.ts';

export interface SeenRequest {
  path: string;
  headers: IncomingHttpHeaders;
  // Whatever the client sent; a test looks into it as it needs.
  body: Record<string, unknown>;
  /** Settles when the first bytes of the answer were handed to the socket. */
  answering: Promise<void>;
  /** Settles when the client hung up before the answer was complete, with `performance.now()`. */
  hungUp: Promise<number>;
}

export interface ModelServer {
  port: number;
  /** Base URL as it goes into `models.providers.<id>.baseUrl`. */
  baseUrl: string;
  requests: SeenRequest[];
  /** Replies are used up in order; without one the answer is `ok`. */
  reply(...replies: Reply[]): void;
  /** The n-th request from the start, as soon as it is there. */
  request(index: number): Promise<SeenRequest>;
  close(): Promise<void>;
}

interface Wire {
  events: (reply: Reply, model: string) => WireEvent[];
  error: (status: number, message: string) => object;
}

const wires: Readonly<Record<string, Wire>> = {
  '/v1/chat/completions': { events: openaiEvents, error: openaiError },
  '/v1/messages': { events: anthropicEvents, error: anthropicError },
};

export async function startModelServer({ models = [] as ListedModel[], ollama = false } = {}): Promise<ModelServer> {
  const requests: SeenRequest[] = [];
  const replies: Reply[] = [];
  const waiting: (() => void)[] = [];
  const server = createServer((request, response) => void serve(request, response));

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '/';
    const answering = Promise.withResolvers<void>();
    const hungUp = Promise.withResolvers<number>();
    response.once('close', () => {
      if (!response.writableFinished) hungUp.resolve(performance.now());
    });
    const body = await readBody(request).catch(() => undefined);
    if (body === undefined) return;
    requests.push({ path, headers: request.headers, body, answering: answering.promise, hungUp: hungUp.promise });
    for (const wake of waiting.splice(0)) wake();

    if (path === '/v1/models' && !ollama)
      return json(response, 200, {
        object: 'list',
        data: models.map(({ id, contextLength }) => ({ id, object: 'model', context_length: contextLength })),
      });
    if (path === '/api/tags' && ollama) return json(response, 200, { models: models.map(({ id }) => ({ name: id, model: id })) });
    const wire = wires[path];
    if (wire === undefined) return json(response, 404, openaiError(404, 'no such path'));
    await play(wire, replies.shift() ?? { text: ['ok'] }, String(body['model']), response, answering.resolve);
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests,
    reply: (...more) => void replies.push(...more),
    async request(index) {
      while (requests[index] === undefined) await new Promise<void>((resolve) => waiting.push(resolve));
      return requests[index];
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function play(wire: Wire, reply: Reply, model: string, response: ServerResponse, onAnswering: () => void): Promise<void> {
  const { fault } = reply;
  if (fault?.kind === 'status')
    return json(response, fault.status, wire.error(fault.status, fault.message ?? 'scripted failure'), fault.headers);
  if (fault?.kind === 'hang' && fault.at === 'beforeFirst') return onAnswering();
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  let pieces = 0;
  for (const event of wire.events(reply, model)) {
    if (event.piece === true && stopsBefore(fault, pieces)) break;
    const text = `${event.name === undefined ? '' : `event: ${event.name}\n`}data: ${fault?.kind === 'malformed' && event.piece === true ? '{"broken":' : event.data}\n\n`;
    if (fault?.kind === 'drip') await drip(response, text, fault.everyMs);
    else response.write(text);
    onAnswering();
    if (event.piece === true) pieces += 1;
    // A turn of the loop, so that pieces arrive one by one as they do from a real model.
    await new Promise((resolve) => setImmediate(resolve));
    if (response.destroyed) return;
  }
  if (fault?.kind === 'hang') return;
  if (fault?.kind === 'cut') response.destroy();
  else response.end();
}

function stopsBefore(fault: Fault | undefined, pieces: number): boolean {
  if (fault?.kind === 'cut' || fault?.kind === 'endEarly') return pieces >= fault.afterPieces;
  return fault?.kind === 'hang' && pieces >= 1;
}

async function drip(response: ServerResponse, text: string, everyMs: number): Promise<void> {
  for (const byte of Buffer.from(text)) {
    if (response.destroyed) return;
    response.write(Buffer.from([byte]));
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  request.setEncoding('utf8');
  for await (const piece of request) text += piece;
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

function json(response: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}
