/**
 * Everything that serves clients: shards of client sessions, and one `front` that takes connections from the listener,
 * sends events and keeps time for all of them. A session's death is its own; nothing here is fatal to anybody else.
 */
import type { AnyActorRef } from 'xstate';
import type { MethodContext } from '../../protocol/context.ts';
import { type EventName, eventNames } from '../../protocol/events.ts';
import type { ConnectParams, HelloOk, StateVersion } from '../../protocol/frames.ts';
import { limits } from '../../protocol/limits.ts';
import { methods } from '../../protocol/methods/index.ts';
import type { ChildSpec, Env, SupervisorSpec } from '../../machines/child-spec.ts';
import { type CloseWith, clientSession } from '../../machines/client-session.ts';
import { type MemberSpec, shard } from '../../machines/shard.ts';
import { fromIo } from '../io.ts';
import type { NodeRegistry } from '../registry/nodes.ts';
import type { Presence } from '../registry/presence.ts';
import type { HandshakePolicy } from './authenticate.ts';
import { type Broadcaster, createBroadcaster } from './broadcast.ts';
import { coalesce } from './coalesce.ts';
import type { Connection } from './connection.ts';
import { createDeadlines, type Deadlines } from './deadlines.ts';
import { handshakeActor } from './handshake.ts';
import type { ListenerPort } from './listener.ts';
import { closer, refusePump, requestPump } from './pump.ts';

/** What the hub asks of the rest of the gateway. */
export interface HubPorts {
  env: Env;
  listener(): ListenerPort;
  presence: Presence;
  nodes: NodeRegistry;
  /** The canonical spelling of a conversation's key. */
  canonicalKey(sessionKey: string): string;
  policy(): HandshakePolicy;
  handshakeMs: number;
  maxPayload: number;
  maxBufferedBytes: number;
  verbose: boolean;
  contextFor(connection: Connection): MethodContext;
  /** The newest health, with the counter that belongs to it. */
  health(): { payload: unknown; version: number };
  /** Somebody new wants to know how things are. */
  refreshHealth(): void;
  about: Omit<HelloOk['server'], 'connId'> & { configPath: string; stateDir: string; startedAt: number };
  sessionDefaults(): NonNullable<HelloOk['snapshot']['sessionDefaults']>;
  retryAfterMs(): number | undefined;
  offer(port: HubPort): () => void;
  /** Subscribes to the announcement that precedes every stop. */
  onShutdown(handler: (payload: { reason: string; restartExpectedMs?: number }) => void): () => void;
  log: { debug(data: object, message: string): void; info(data: object, message: string): void; warn(data: object, message: string): void };
}

/** How other parts reach the clients. */
export interface HubPort {
  broadcast(event: EventName, payload: unknown, options?: { stateVersion?: StateVersion; droppable?: boolean }): void;
  presenceChanged(): void;
  readonly clients: number;
  connections(): Iterable<Connection>;
}

/** What the actors of a session share. */
export interface HubScope extends Pick<HubPorts, 'policy' | 'verbose' | 'contextFor'> {
  /** Every connection from its acceptance to its close. */
  sessions: Map<string, Connection>;
  /** Those that completed the handshake: what a broadcast reaches. */
  connections: Map<string, Connection>;
  deadlines: Deadlines;
  /** Enters the presence list, before `hello-ok` shows it. */
  welcome(connection: Connection, params: ConnectParams, scopes: string[]): void;
  hello(connection: Connection): Omit<HelloOk, 'type' | 'protocol'>;
  /** From here on broadcasts reach it. */
  admit(connection: Connection): void;
  /** Who goes on with a stranger that proved itself. */
  session(connId: string): MemberSpec;
  /** Who says goodbye to one that did not, and sees that the socket goes. */
  dismissal(connId: string, close: CloseWith): MemberSpec;
  /** A stranger that said nothing yet: it waits at the listener. */
  handBack(connection: Connection): void;
  /** Tells the others, after the newcomer was answered. */
  announce(connection: Connection): void;
  retryAfter(): { retryAfterMs?: number };
  noteRefusal(connection: Connection, reason: string): void;
  noteRequest(connection: Connection, method: string, ms: number): void;
  noteFailure(connection: Connection, method: string, code: string, ms: number, bug: unknown): void;
}

const shardCount = 64;
const methodNames = [...methods.keys()];
/** A silent peer is noticed by the second tick at the latest (F-37). */
const slowRequestMs = 50;

const shardOf = (connId: string) => `shard:${Number.parseInt(connId.slice(0, 8), 16) % shardCount}`;

export function hubSpec(ports: HubPorts): SupervisorSpec {
  const sessions = new Map<string, Connection>();
  const connections = new Map<string, Connection>();
  const deadlines = createDeadlines(ports.handshakeMs, ports.env.now);
  const stateVersion = (): StateVersion => ({ presence: ports.presence.version, health: ports.health().version });
  const broadcaster: Broadcaster = createBroadcaster({
    connections: { [Symbol.iterator]: () => connections.values() },
    maxBufferedBytes: ports.maxBufferedBytes,
    sessionOf: (payload) => ports.canonicalKey((payload as { sessionKey?: string }).sessionKey ?? ''),
    onSlow(connection) {
      connections.delete(connection.connId);
      ports.log.warn({ connId: short(connection) }, 'slow consumer closed');
      connection.fellBehind();
    },
    ...(ports.verbose ? { onSent: (event, bytes) => ports.log.debug({ event, bytes, clients: connections.size }, 'event sent') } : {}),
  });
  const presenceChanged = coalesce(() =>
    broadcaster.send('presence', { presence: ports.presence.list() }, { stateVersion: stateVersion() }),
  );

  const scope: HubScope = {
    policy: ports.policy,
    verbose: ports.verbose,
    contextFor: ports.contextFor,
    sessions,
    connections,
    deadlines,
    welcome(connection, params, scopes) {
      ports.listener().known(connection);
      if (connection.identity?.nodeId !== undefined) ports.nodes.connect(connection, connection.identity.nodeId, params);
      if (connection.identity?.mode === 'cli') return;
      connection.isListed = true;
      ports.presence.connect({
        connId: connection.connId,
        params,
        role: connection.identity?.role ?? 'operator',
        scopes,
        ip: connection.remote.reportedIp,
      });
    },
    hello: ({ connId }) => {
      const { configPath, stateDir, startedAt, ...server } = ports.about;
      return {
        server: { ...server, connId },
        features: { methods: methodNames, events: eventNames },
        snapshot: {
          presence: ports.presence.list(),
          health: ports.health().payload,
          stateVersion: stateVersion(),
          uptimeMs: Math.max(0, Math.round(ports.env.now() - startedAt)),
          configPath,
          stateDir,
          sessionDefaults: ports.sessionDefaults(),
        },
        policy: { maxPayload: ports.maxPayload, maxBufferedBytes: ports.maxBufferedBytes, tickIntervalMs: limits.tickIntervalMs },
      };
    },
    admit: (connection) => void connections.set(connection.connId, connection),
    session: (connId) => ({ id: `client:${connId}`, logic: session, input: { connId } }),
    dismissal: (connId, close) => ({ id: `closer:${connId}`, logic: goodbye, input: { connId, close } }),
    handBack(connection) {
      sessions.delete(connection.connId);
      ports.listener().takeBack(connection);
    },
    announce(connection) {
      if (connection.isListed) presenceChanged();
      ports.refreshHealth();
      if (ports.verbose) {
        ports.log.debug(
          { connId: short(connection), client: connection.identity?.clientId, mode: connection.identity?.mode },
          'handshake granted',
        );
      }
    },
    retryAfter() {
      const retryAfterMs = ports.retryAfterMs();
      return retryAfterMs === undefined ? {} : { retryAfterMs };
    },
    noteRefusal(connection, reason) {
      ports.log.info({ connId: short(connection), ip: connection.remote.ip, reason }, 'handshake refused');
    },
    noteRequest(connection, method, ms) {
      ports.log.debug({ connId: short(connection), method, ms: Math.round(ms) }, 'request ok');
    },
    noteFailure(connection, method, code, ms, bug) {
      const data = { connId: short(connection), method: method.slice(0, 64), code, ms: Math.round(ms) };
      if (bug !== undefined)
        ports.log.warn({ ...data, error: bug instanceof Error ? `${bug.name}: ${bug.message}` : 'unknown' }, 'request failed unexpectedly');
      else if (ports.verbose || ms > slowRequestMs) ports.log.debug(data, 'request refused');
    },
  };

  const handshake = handshakeActor(scope);
  const goodbye = closer(scope);
  const session = clientSession.provide({
    actors: { requestPump: requestPump(scope), refusePump: refusePump(scope), closer: goodbye },
  });

  /** Forgets a closed connection, whatever state its session was in. */
  function leave(connection: Connection) {
    sessions.delete(connection.connId);
    const wasOpen = connections.delete(connection.connId);
    ports.nodes.disconnect(connection.connId);
    if (connection.isListed) {
      ports.presence.disconnect(connection.connId);
      presenceChanged();
    }
    if (ports.verbose && wasOpen) ports.log.debug({ connId: short(connection), requests: connection.requests }, 'connection closed');
  }

  /** Takes connections, keeps the tick, and tells everybody about a shutdown. */
  const front = fromIo<unknown>(({ self, guard, report }) => {
    const system = self.system;
    const hub = (self as unknown as { _parent: AnyActorRef })._parent;

    function shardFor(connId: string): AnyActorRef | undefined {
      const id = shardOf(connId);
      const systemId = `hub/${id}`;
      const found = system.get(systemId);
      if (found) return found;
      hub.send({ type: 'child.add', spec: shardSpec(id, systemId) });
      return system.get(systemId);
    }

    function take(connection: Connection) {
      sessions.set(connection.connId, connection);
      connection.ws.once(
        'close',
        guard(() => leave(connection)),
      );
      const shardOfClient = shardFor(connection.connId);
      const { connId } = connection;
      // A bug of ours: the stranger learns that it was not to blame.
      const heir = scope.dismissal(connId, { code: 1011, reason: 'internal error' });
      const spec: MemberSpec = { id: `handshake:${connId}`, logic: handshake, input: { connId }, heir };
      if (shardOfClient) shardOfClient.send({ type: 'child.add', spec });
      else connection.ws.terminate();
    }

    const onTick = guard(() => {
      broadcaster.send('tick', { ts: ports.env.now() });
      for (const connection of connections.values()) {
        if (connection.wasAlive()) connection.ws.ping();
        else connection.ws.terminate();
      }
    });

    const ticker = setInterval(onTick, limits.tickIntervalMs);
    const withdraw = ports.offer({
      broadcast: (event, payload, options) => broadcaster.send(event, payload, options),
      presenceChanged,
      get clients() {
        return connections.size;
      },
      connections: () => connections.values(),
    });
    const offShutdown = ports.onShutdown(
      guard((payload) => {
        // Whoever comes from here on, or has not introduced itself, waits for the next generation.
        detach?.();
        broadcaster.send('shutdown', payload);
        // Nothing follows the shutdown event but responses and the close frame.
        connections.clear();
        // Their answers would be refused from here on, so whoever waits for one is told now.
        ports.nodes.abandon();
        for (let index = 0; index < shardCount; index += 1) system.get(`hub/shard:${index}`)?.send({ type: 'shutdown.announced' });
      }),
    );
    let detach: (() => void) | undefined;
    // In a turn of its own: while the hub starts this actor it can add no shard, and who waits for us would be turned away.
    const attaching = setImmediate(
      guard(() => {
        detach = ports.listener().attach({ take: guard(take) });
      }),
    );

    report({ type: 'child.up' });
    return () => {
      clearImmediate(attaching);
      detach?.();
      offShutdown();
      withdraw();
      clearInterval(ticker);
      deadlines.stop();
      for (const connection of [...sessions.values()]) {
        connection.ws.terminate();
        // Its close comes after this actor's end: the presence list would show it for ever.
        leave(connection);
      }
      presenceChanged.stop();
    };
  });

  return {
    name: 'hub',
    strategy: 'one_for_one',
    drain: 'together',
    intensity: { max: 10, withinMs: 60_000 },
    children: [{ id: 'front', logic: front, restart: 'permanent', shutdownMs: 0, startMs: 5_000 }],
  };
}

const shardSpec = (id: string, systemId: string): ChildSpec => ({ id, systemId, logic: shard, restart: 'permanent', shutdownMs: 600 });

const short = ({ connId }: Connection) => connId.slice(0, 8);
