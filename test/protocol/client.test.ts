import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import {
  type ClientOptions,
  connect,
  ConnectionError,
  type GatewayClient,
  reconnectDelay,
  RequestError,
} from '../../src/protocol/client.ts';
import { EventBuffer } from '../../src/protocol/client-events.ts';
import type { EventFrame } from '../../src/protocol/frames.ts';
import { type Gateway, startGateway, token } from '../support/gateway.ts';

let gateway: Gateway;
const clients: GatewayClient[] = [];

beforeAll(async () => {
  gateway = await startGateway();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(() => gateway.close());

async function open(more: Partial<ClientOptions> = {}) {
  const client = await connect({ url: gateway.url, token, ...more });
  clients.push(client);
  return client;
}

it('connects, asks, and is greeted with what the gateway can do', async () => {
  const client = await open({ client: { id: 'gateway-client', mode: 'ui', displayName: 'desk', instanceId: 'one' } });
  expect(client.hello?.protocol).toBe(3);
  const list = await client.request<{ instanceId?: string; host: string }[]>('system-presence');
  expect(list.find(({ instanceId }) => instanceId === 'one')).toMatchObject({ host: 'desk' });
});

it('gives a refusal its code and its words', async () => {
  const client = await open();
  const refusal = await client.request('nope').catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(RequestError);
  expect(refusal).toMatchObject({ code: 'INVALID_REQUEST', message: 'unknown method: nope' });
});

it('says that the token was wrong, and closes', async () => {
  const refusal = await connect({ url: gateway.url, token: 'wrong' }).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(RequestError);
  expect((refusal as Error).message).toMatch(/^unauthorized/);
});

it('waits for the second answer of a run and hands out the first', async () => {
  const client = await open();
  const accepted: unknown[] = [];
  const final = await client.request<{ status: string }>(
    'agent',
    { message: 'help', idempotencyKey: 'client-1' },
    { expectFinal: true, onAccepted: (payload) => accepted.push(payload) },
  );
  expect(accepted).toMatchObject([{ status: 'accepted', runId: 'client-1' }]);
  expect(final).toMatchObject({ status: 'ok', runId: 'client-1' });
});

it('lets a program walk through the events', async () => {
  const client = await open();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { event, payload } of client.events()) {
      seen.push(event);
      if (event === 'chat' && (payload as { state: string }).state === 'final') return;
    }
  })();
  await client.request('chat.send', { sessionKey: 'main', message: 'help', idempotencyKey: 'client-2' });
  await reading;
  expect(seen).toContain('agent');
});

it('names what it could not reach', async () => {
  const failure = await connect({ url: 'ws://127.0.0.1:1', token }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ConnectionError);
  expect(failure).toMatchObject({ isUnreachable: true, reason: 'ECONNREFUSED' });
});

it('gives up on a peer that accepts and never speaks', async () => {
  const silent = await listenSilently();
  const failure = await connect({ url: `ws://127.0.0.1:${silent.port}`, token, timeoutMs: 100 }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ConnectionError);
  silent.close();
});

it('comes back after a restart, and marks the hole in the events', async () => {
  const own = await startGateway();
  try {
    const client = await connect({ url: own.url, token, reconnect: true });
    clients.push(client);
    const events = client.events();
    const first = client.hello?.server.connId;
    own.signal('SIGUSR1');
    for await (const { event, gap } of events) {
      if (event === 'connect.challenge' && gap) break;
    }
    while (!client.isConnected) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(client.hello?.server.connId).not.toBe(first);
    expect(await client.request<{ generation: number }>('health')).toMatchObject({ generation: 2 });
  } finally {
    await own.close();
  }
});

it('waits longer with each attempt, spread, and never more than half a minute by much', () => {
  expect([0, 1, 2, 3, 4, 5, 60].map((attempt) => reconnectDelay(attempt, () => 0.5))).toEqual([
    1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000,
  ]);
  expect(reconnectDelay(0, () => 0)).toBe(800);
  expect(reconnectDelay(60, () => 1)).toBeCloseTo(36_000);
});

it('keeps what must not be missed when a program reads slowly', async () => {
  const buffer = new EventBuffer();
  const frame = (event: string, seq: number): EventFrame => ({ type: 'event', event, seq });
  for (let seq = 1; seq <= 2_000; seq += 1) buffer.push(frame(seq % 2 === 0 ? 'agent' : 'tick', seq));
  buffer.end();
  const seen: EventFrame[] = [];
  let gaps = 0;
  for await (const event of buffer.read(() => {})) {
    seen.push(event);
    if (event.gap) gaps += 1;
  }
  expect(seen.filter(({ event }) => event === 'agent')).toHaveLength(1_000);
  expect(gaps).toBeGreaterThan(0);
});

async function listenSilently(): Promise<{ port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => void sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
