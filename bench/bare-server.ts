/**
 * What the gateway is compared with: the same library, the same JSON, the same kind of validation, and nothing else. It says
 * hello with a document of the same size, answers two methods, and sends events in a plain loop.
 */
import { createServer } from 'node:http';
import { Ajv } from 'ajv';
import { type WebSocket, WebSocketServer } from 'ws';
import { connectParams, requestFrame } from '../src/protocol/frames.ts';
import { methods } from '../src/protocol/methods/index.ts';

const ajv = new Ajv({ allErrors: true, strict: false });
const isFrame: (frame: unknown) => boolean = ajv.compile(requestFrame);
const isConnect: (params: unknown) => boolean = ajv.compile(connectParams);
const isHealth: (params: unknown) => boolean = ajv.compile(methods.get('health')?.params as object);

/** As large as what the gateway answers; set by the first `adopt`. */
let health: Record<string, unknown> = { ok: true };
let hello: Record<string, unknown> = { type: 'hello-ok' };
let seq = 0;

const open = new Set<WebSocket>();
const server = createServer();
const wss = new WebSocketServer({ server, perMessageDeflate: false, maxPayload: 8 * 1024 * 1024 });

wss.on('connection', (ws, request) => {
  request.socket.setNoDelay(true);
  let greeted = false;
  ws.send(JSON.stringify({ type: 'event', event: 'connect.challenge', payload: { nonce: 'nonce', ts: Date.now() } }));
  ws.on('close', () => open.delete(ws));
  ws.on('message', (data: Buffer) => {
    const frame = JSON.parse(data.toString()) as { id: string; method: string; params?: unknown };
    if (!isFrame(frame)) return ws.close(1008);
    if (!greeted) {
      if (!isConnect(frame.params)) return ws.close(1008);
      greeted = true;
      open.add(ws);
      ws.send(JSON.stringify({ type: 'res', id: frame.id, ok: true, payload: hello }));
      return;
    }
    if (frame.method === 'adopt') ({ health, hello } = frame.params as { health: typeof health; hello: typeof hello });
    else if (!isHealth(frame.params ?? {})) return ws.close(1008);
    if ((frame.params as { probe?: boolean } | undefined)?.probe === true) {
      seq += 1;
      const text = JSON.stringify({ type: 'event', event: 'health', payload: health, seq, stateVersion: { presence: 1, health: seq } });
      for (const client of open) client.send(text);
    }
    ws.send(JSON.stringify({ type: 'res', id: frame.id, ok: true, payload: health }));
  });
});

server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
process.on('SIGTERM', () => process.exit(0));
