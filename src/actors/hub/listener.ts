/**
 * Owns the port: one HTTP server per address, and the upgrade to WebSocket. It outlives soft restarts, so nobody is ever
 * refused; while no hub is attached, accepted clients wait here with their socket paused.
 *   takes     gateway.drain (stop accepting)
 *   reports   listener.opened · boot.failed
 * Strangers have ceilings: silent TCP connections and sockets that do not introduce themselves are dropped oldest first,
 * so that a flood of them never keeps a good client out.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type RawData, type ServerOptions, type WebSocket, WebSocketServer } from 'ws';
import { FatalError } from '../../protocol/errors.ts';
import { limits } from '../../protocol/limits.ts';
import { fromIo } from '../io.ts';
import { Connection, requestIdOf, textOf } from './connection.ts';
import { findPortOwner } from './port-owner.ts';
import { endOnce, limitPayload } from './receiver.ts';
import { isOriginAllowed, type OriginRules, remoteOf } from './remote.ts';
import { createTurnstile } from './turnstile.ts';

/** As an import it would read every export of the module, and one of them loads all of `fetch`: a sixth of the start. */
const { createServer } = process.getBuiltinModule('node:http');

/** Whoever takes over accepted connections: the hub of the current generation. */
export interface ConnectionTaker {
  take(connection: Connection): void;
}

export interface ListenerPort {
  /** Hands over waiting and coming connections; the returned function makes them wait again. */
  attach(taker: ConnectionTaker): () => void;
  /** A connection that has said nothing yet waits for the next taker. */
  takeBack(connection: Connection): void;
  /** The connection proved itself: it no longer counts as a stranger. */
  known(connection: Connection): void;
  readonly port: number;
  readonly addresses: readonly string[];
  readonly strangers: number;
}

export interface ListenerOptions {
  port: number;
  /** The first is needed, the others are wished for. */
  hosts: readonly string[];
  /** Asked for each connection: the listener outlives the configuration it was opened with. */
  settings(): { trustedProxies: readonly string[]; controlUi: OriginRules; maxPayload: number };
  handshakeMs: number;
  register(port: ListenerPort): () => void;
  /** @param isFirst of the addresses: the others say the same again. */
  onListening(url: string, isFirst: boolean): void;
  warn(message: string): void;
}

interface Upgrade {
  request: IncomingMessage;
  socket: Socket;
  head: Buffer;
}

/** Connections that never sent a byte. A real client sends its request in its first packet. */
const maxSilent = 1_000;
/** Upgraded sockets that have not introduced themselves yet. */
const maxStrangers = 200;
/** Below this age a stranger may simply be on its way, and is spared until the hard ceiling. */
const strangerGraceMs = 500;
const hardMaxStrangers = 4_000;
/** Upgrades that wait for their turn. Who comes after them is told to come back. */
const maxQueued = 8_000;
/** `closeTimeout`: a peer that broke the rules of WebSocket may take so long to notice. */
const serverOptions: ServerOptions & { closeTimeout: number } = {
  noServer: true,
  maxPayload: limits.maxPayloadBeforeHello,
  perMessageDeflate: false,
  clientTracking: false,
  closeTimeout: 5_000,
};

export const listenerActor = (options: ListenerOptions) => {
  // A listener that is opened again after a crash takes the port its predecessor had, also one the system chose.
  let bound = options.port;
  return fromIo<unknown>(({ guard, report, receive, run, after }) => {
    const servers: Server[] = [];
    const silent = new Set<Socket>();
    const strangers = new Map<string, Connection>();
    const waiting = new Map<Connection, { timer: NodeJS.Timeout; goOn: () => void }>();
    const wss = new WebSocketServer(serverOptions);
    const turnstile = createTurnstile(guard, upgrade);
    let hasWarnedOfProxy = false;
    let taker: ConnectionTaker | undefined;
    let isClosing = false;
    let port = bound;
    let release: (() => void) | undefined;

    const onConnection = (socket: Socket) => {
      // Nagle would hold an answer back until the client acknowledged the one before.
      socket.setNoDelay(true);
      silent.add(socket);
      socket.once('close', () => silent.delete(socket));
      // A peer that resets is ordinary; an 'error' without a listener would count as a fault.
      socket.on('error', () => socket.destroy());
      if (silent.size > maxSilent) dropOldest(silent);
    };

    const onRequest = (request: IncomingMessage, response: ServerResponse) => {
      silent.delete(request.socket);
      answer(response, taker === undefined || isClosing);
    };

    const onUpgrade = (request: IncomingMessage, socket: Socket, head: Buffer) => {
      silent.delete(socket);
      if (turnstile.waiting < maxQueued) turnstile.pass({ request, socket, head });
      else refuseUpgrade(socket, '503 Service Unavailable', 'too many newcomers\n', 'Retry-After: 1\r\n');
    };

    function upgrade({ request, socket, head }: Upgrade) {
      const { trustedProxies, controlUi } = options.settings();
      const remote = remoteOf(request, trustedProxies);
      if (remote.untrustedProxy && !hasWarnedOfProxy) {
        // Once: whoever sends such headers could fill the log with them.
        hasWarnedOfProxy = true;
        options.warn(`forwarding headers from ${remote.ip}, which is not in gateway.trustedProxies: such clients count as remote`);
      }
      if (!isOriginAllowed(remote, controlUi)) return refuseUpgrade(socket, '403 Forbidden', 'origin not allowed\n');
      if (isClosing) return refuseUpgrade(socket, '503 Service Unavailable', 'gateway stopping\n', 'Retry-After: 1\r\n');
      // The answer to the upgrade and the challenge go out in one piece.
      socket.cork();
      wss.handleUpgrade(request, socket, head, (ws) => accept(ws, socket, remote));
      socket.uncork();
    }

    function accept(ws: WebSocket, socket: Socket, remote: ReturnType<typeof remoteOf>) {
      const connection = new Connection(ws, socket, remote, { connId: randomUUID(), nonce: randomUUID(), now: Date.now() });
      ws.on('error', () => {
        // `ws` closes with the right code (1007, 1009, …) by itself; the session hears of it through 'close'.
      });
      ws.once(
        'close',
        guard(() => forget(connection)),
      );
      endOnce(ws);
      strangers.set(connection.connId, connection);
      trimStrangers();
      connection.send({ type: 'event', event: 'connect.challenge', payload: { nonce: connection.nonce, ts: connection.openedAt } });
      if (taker) taker.take(connection);
      else hold(connection);
    }

    /** Accepted while nothing can serve: the frames stay in the kernel until there is somebody to read them. */
    function hold(connection: Connection) {
      const goOn = connection.holdBack();
      const timer = setTimeout(
        guard(() => turnAway(connection)),
        options.handshakeMs,
      );
      waiting.set(connection, { timer, goOn });
    }

    function turnAway(connection: Connection) {
      connection.ws.once(
        'message',
        guard((data: RawData) => {
          const id = requestIdOf(textOf(data));
          if (id !== undefined) {
            connection.refuse(id, { code: 'UNAVAILABLE', message: 'gateway restarting', retryable: true, retryAfterMs: 1_500 });
          }
          connection.close(1012, 'service restart');
        }),
      );
      stopWaiting(connection);
      after(250, () => connection.close(1012, 'service restart'));
      after(500, () => connection.ws.terminate());
    }

    function stopWaiting(connection: Connection) {
      const { timer, goOn } = waiting.get(connection) ?? {};
      clearTimeout(timer);
      waiting.delete(connection);
      goOn?.();
    }

    function forget(connection: Connection) {
      strangers.delete(connection.connId);
      stopWaiting(connection);
    }

    function trimStrangers() {
      const [oldest] = strangers.values();
      if (oldest === undefined || strangers.size <= maxStrangers) return;
      if (strangers.size <= hardMaxStrangers && Date.now() - oldest.openedAt < strangerGraceMs) return;
      strangers.delete(oldest.connId);
      oldest.ws.terminate();
    }

    const portOf: ListenerPort = {
      attach(next) {
        taker = next;
        for (const connection of [...waiting.keys()]) {
          if (connection.isOpen) next.take(connection);
          stopWaiting(connection);
        }
        return () => {
          if (taker === next) taker = undefined;
        };
      },
      takeBack(connection) {
        if (!connection.isOpen) return;
        connection.ws.once(
          'close',
          guard(() => forget(connection)),
        );
        hold(connection);
        if (isClosing) turnAway(connection);
      },
      known(connection) {
        strangers.delete(connection.connId);
        limitPayload(connection.ws, options.settings().maxPayload);
      },
      get port() {
        return port;
      },
      get addresses() {
        return options.hosts;
      },
      get strangers() {
        return strangers.size;
      },
    };

    async function listen(host: string): Promise<void> {
      const server = createServer({
        maxHeaderSize: 16 * 1024,
        headersTimeout: 10_000,
        requestTimeout: 120_000,
        connectionsCheckingInterval: 5_000,
      });
      server.on('connection', guard(onConnection));
      server.on('request', guard(onRequest));
      server.on('upgrade', guard(onUpgrade));
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ port, host, backlog: 1024 }, () => {
          server.off('error', reject);
          resolve();
        });
      });
      server.on(
        'error',
        guard((error) => Promise.reject(error)),
      );
      servers.push(server);
      const address = server.address();
      if (address !== null && typeof address === 'object') port = address.port;
      bound = port;
      options.onListening(`ws://${host.includes(':') ? `[${host}]` : host}:${port}`, servers.length === 1);
    }

    run(async () => {
      const [first, ...others] = options.hosts;
      try {
        await listen(first ?? '127.0.0.1');
      } catch (error) {
        return report({ type: 'boot.failed', failure: await describe(error, first ?? '127.0.0.1', port) });
      }
      release = options.register(portOf);
      report({ type: 'listener.opened' });
      // Wished for and not waited for: the rest of the start goes on meanwhile.
      for (const host of others) {
        await listen(host).catch((error: NodeJS.ErrnoException) =>
          options.warn(`not listening on ${host}: ${error.code ?? error.message}`),
        );
      }
    });

    receive((event) => {
      if (event.type !== 'gateway.drain') return;
      isClosing = true;
      // Whoever waits for a hub that will not come back is told so while there is time.
      for (const connection of [...waiting.keys()]) turnAway(connection);
    });

    return () => {
      isClosing = true;
      for (const { socket } of turnstile.stop()) socket.destroy();
      release?.();
      for (const [connection, { timer }] of waiting) {
        clearTimeout(timer);
        connection.ws.terminate();
      }
      for (const connection of strangers.values()) connection.ws.terminate();
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
      for (const socket of silent) socket.destroy();
      wss.close();
    };
  });
};

function dropOldest(sockets: Set<Socket>): void {
  const [oldest] = sockets;
  if (oldest === undefined) return;
  sockets.delete(oldest);
  oldest.destroy();
}

function refuseUpgrade(socket: Socket, status: string, body: string, extra = ''): void {
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\n${extra}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** The HTTP side has no pages of its own yet; it says so, and where the conversation takes place. */
function answer(response: ServerResponse, isHeld: boolean): void {
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  if (isHeld) {
    response.writeHead(503, { 'Retry-After': '1' }).end('The gateway is restarting.\n');
    return;
  }
  response.writeHead(404).end('This is an openclaw gateway. Connect a WebSocket client to this address, or run: openclaw status\n');
}

async function describe(error: unknown, host: string, port: number) {
  const { code = 'unknown', message } = error as NodeJS.ErrnoException;
  const where = `${host}:${port}`;
  const fatal = await fatalOf(code, where, port, message);
  return { code: fatal.code, exitCode: fatal.exitCode, message: fatal.message, fix: fatal.fix };
}

async function fatalOf(code: string, where: string, port: number, message: string): Promise<FatalError> {
  if (code === 'EADDRINUSE') {
    const owner = await findPortOwner(port);
    const who = owner ? `PID ${owner.pid} (${owner.command})` : 'another process';
    return new FatalError(
      'port-in-use',
      `port ${port} is in use by ${who}`,
      `stop it, or choose another port: openclaw gateway --port ${port + 10}`,
    );
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new FatalError('port-denied', `not allowed to listen on ${where}`, 'choose a port above 1023: openclaw gateway --port 18789');
  }
  return new FatalError(
    'bind-unavailable',
    `cannot listen on ${where}: ${message}`,
    'choose an address of this machine with --bind, or set gateway.customBindHost',
  );
}
