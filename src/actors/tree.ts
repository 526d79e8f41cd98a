/**
 * The supervision tree as a table, in start order: the only place that knows who exists. A part that is not there yet is a
 * row that is not there yet.
 *
 *   core  rest_for_one    store · conversations · outbox · hub · control
 *   edge  one_for_one     inbound · models · sweeper · health · updater · channels ─ account:<channel>:<id>
 */
import type { AnyActorLogic, AnyActorRef } from 'xstate';
import type { ChildSpec, Env, SupervisorSpec } from '../machines/child-spec.ts';
import { control, type RestartKind } from '../machines/control.ts';
import { supervisor } from '../machines/supervisor.ts';
import type { Config, GatewayOptions } from '../protocol/config/options.ts';
import { createChannelDesk } from './channels/desk.ts';
import { outboxSpec } from './channels/outbox.ts';
import { type ContextSource, createContexts } from './context.ts';
import { createHealth } from './health.ts';
import { healthTicker } from './health-ticker.ts';
import { hubSpec } from './hub/hub.ts';
import { coalesce } from './hub/coalesce.ts';
import type { ListenerPort } from './hub/listener.ts';
import { createInbound } from './inbound.ts';
import { type Recorder, stateOf } from './inspector/recorder.ts';
import { treeOf } from './inspector/tree.ts';
import { type Unwell, unwell } from './inspector/unwell.ts';
import type { Log } from './log.ts';
import { tailLog } from './log-tail.ts';
import type { Ports } from './ports.ts';
import { createNodeDesk } from './registry/node-desk.ts';
import { createPresence } from './registry/presence.ts';
import { rereadConfig } from './config/reread.ts';
import { conversationsSpec } from './runs/desk.ts';
import { createModelDesk } from './runs/model-desk.ts';
import { createStatus } from './status.ts';
import { storeActor } from './store/store-actor.ts';
import type { WarmThread } from './store/thread.ts';
import { sweeper } from './store/sweeper.ts';
import type { PortTable } from './table.ts';
import { version } from './version.ts';
import { canonicalSessionKey, mainSessionKey } from '../protocol/session-key.ts';
import { createConfigDesk } from './config/desk.ts';
import { createRestarts } from './config/restarts.ts';
import { createCommandGroups } from './runs/tools/command-groups.ts';
import { createUpdate } from './update/desk.ts';
import { updater } from './update/updater.ts';
import { join } from 'node:path';
import { hostname } from 'node:os';

/** What lives as long as the process. */
export interface Gateway {
  options: GatewayOptions;
  /** The applied configuration; a soft restart replaces it. */
  applied: Config;
  config(): Config;
  ports: Ports<PortTable>;
  env: Env;
  recorder: Recorder;
  /** The store's thread of the first generation, started early. */
  warm: WarmThread;
  log: Log;
  startedAt: number;
  /** Moments of the soft restarts so far. */
  restarts: number[];
  generation(): number;
  handshakeMs: number;
  listener(): ListenerPort;
  root(): AnyActorRef;
  /** Errors that no actor owns, newest last. */
  faults: { at: number; message: string }[];
  /** Called when somebody failed or came back. */
  onActorsTurned(): void;
  onShutdown(handler: (payload: { reason: string; restartExpectedMs?: number }) => void): () => void;
  retryAfterMs(): number | undefined;
}

export interface TreeTable {
  core(): SupervisorSpec;
  edge(): SupervisorSpec;
  /** Reads the configuration again between two generations. */
  reread: AnyActorLogic;
  /** The root is in another phase: whoever asks how things are must not be told the one before. */
  phaseChanged(): void;
}

export function buildTree(gateway: Gateway): TreeTable {
  const { ports, env, log, recorder, options } = gateway;
  const presence = createPresence({ version, now: env.now });
  const channels = createChannelDesk({
    config: gateway.config,
    env: options.env,
    store: () => ports.need('store'),
    outbox: () => ports.need('outbox'),
    inbound: () => ports.need('inbound'),
    outboxIfUp: () => ports.find('outbox'),
    now: env.now,
    random: env.random,
    log: log.child('channels'),
    onChange: () => changed(),
  });
  const models = createModelDesk({ config: gateway.config, env: options.env, log: log.child('models'), onChange: () => changed() });
  const sessionDefaults = () => {
    const { session } = gateway.config();
    return { defaultAgentId: defaultAgent(gateway.config()), mainKey: session.mainKey, scope: session.scope };
  };
  const canonicalKey = (sessionKey: string) => canonicalSessionKey(sessionKey, sessionDefaults());
  const nodes = createNodeDesk({
    ports,
    now: env.now,
    settings: () => gateway.config().gateway,
    canonicalKey,
  });
  const storePath = join(options.stateDir, 'gateway.db');

  /** Whoever crashed and is not back, and errors of the last minute that nobody owns. */
  function degraded(): Unwell[] {
    const stray = gateway.faults.filter(({ at }) => env.now() - at < 60_000);
    const last = stray.at(-1);
    return [...unwell(gateway.root()), ...(last ? [{ id: 'process', state: 'faulty', restarts: 0, lastError: last.message }] : [])];
  }

  /** The phase shows it, too: the root is told when the edge is no longer whole, and when it is again. */
  function noteEdge() {
    const root = gateway.root();
    const isWhole = !degraded().some(({ id }) => id.startsWith('edge/'));
    const state = stateOf(root);
    if (state === 'running.ready' && !isWhole) root.send({ type: 'edge.degraded' });
    if (state === 'running.degraded' && isWhole) root.send({ type: 'edge.recovered' });
  }

  const health = createHealth({
    now: env.now,
    phase: () => stateOf(gateway.root()),
    generation: gateway.generation,
    isSafe: () => false,
    degraded,
    isCoreAbsent: () => ports.find('store') === undefined || ports.find('runs') === undefined,
    actorCount: () => countActors(gateway.root()),
    accounts: () => channels.statuses(),
    outbox: () => ({ queued: ports.find('outbox')?.depth() ?? 0 }),
    channelLabels: { telegram: 'Telegram', whatsapp: 'WhatsApp' },
    linkedChannel: () =>
      gateway.config().channels.whatsapp?.enabled ? { id: 'whatsapp', label: 'WhatsApp', accountId: 'default' } : undefined,
    sessions: () => {
      const { count = 0, rows = [] } = ports.find('runs')?.recent() ?? {};
      return { path: storePath, count, recent: rows.map(({ sessionKey, updatedAt }) => ({ key: sessionKey, updatedAt })) };
    },
    agents: () => agentsOf(gateway.config()),
    config: () => ({ appliedHash: options.configHash, issues: [] }),
    model: () => models.current(),
  });

  /** Computes health anew and tells everybody; cheap when nobody is there, rarer when many are. */
  const refresh = coalesce(() => {
    noteEdge();
    health.refresh();
    tellHealth();
  }, 100);
  /** Coalesced by cost alone: whoever asks for a probe makes everybody hear of it. */
  const tellHealth = coalesce(() => {
    ports.find('hub')?.broadcast('health', health.current(), { stateVersion: { presence: presence.version, health: health.version } });
  });

  /** Whoever asks right now must not be told how things were; everybody else hears of it with the next refresh. */
  const changed = () => {
    health.invalidate();
    refresh();
  };
  gateway.onActorsTurned = () => changed();

  const status = createStatus({ health, presence, now: env.now, config: gateway.config, recent: () => ports.find('runs')?.recent() });
  const asked = createRestarts({ control: () => gateway.root().system.get('control') as AnyActorRef | undefined, now: env.now });
  const configs = createConfigDesk(gateway, asked);
  const updateGroups = createCommandGroups();
  const source: ContextSource = {
    ports,
    now: env.now,
    defaults: sessionDefaults,
    agentIds: () => agentsOf(gateway.config()).map(({ id }) => id),
    channels,
    presence: {
      list: () => presence.list(),
      note(params) {
        presence.note(params);
        status.note(params.text);
        ports.find('hub')?.presenceChanged();
      },
    },
    health({ probe }) {
      if (probe || health.ageMs > 60_000) {
        health.refresh();
        tellHealth();
      } else if (health.ageMs > 5_000) refresh();
      return health.current();
    },
    status: () => status.summary(),
    config: configs.methods,
    update: createUpdate(gateway, asked),
    logs: (params) => {
      log.flush();
      return tailLog(log.place(), params);
    },
    models: () => models.list(),
    nodes: nodes.port,
    inspector: {
      tree: () => ({
        ts: env.now(),
        generation: gateway.generation(),
        root: treeOf(gateway.root(), { recorder, now: env.now(), inboxOf: (name) => inboxOf(ports, name) }),
      }),
      history: (params) => ({ ts: env.now(), records: recorder.history(params) }),
    },
    storePath,
  };

  const row = (spec: ChildSpec): ChildSpec => spec;
  const nested = (id: string, spec: SupervisorSpec, shutdownMs: number): ChildSpec =>
    row({ id, logic: supervisor, input: { spec, env }, restart: 'permanent', shutdownMs, startMs: 15_000 });

  return {
    reread: rereadConfig(gateway, configs.settled),
    phaseChanged: changed,
    core: () => ({
      name: 'core',
      strategy: 'rest_for_one',
      intensity: { max: 3, withinMs: 60_000 },
      children: [
        row({
          id: 'store',
          logic: storeActor({ register: (port) => ports.offer('store', port), warm: gateway.warm }),
          input: { stateDir: options.stateDir },
          restart: 'permanent',
          shutdownMs: 500,
          startMs: 10_000,
        }),
        nested(
          'conversations',
          conversationsSpec({
            env,
            store: () => ports.need('store'),
            broadcast: (event, payload, more) => ports.find('hub')?.broadcast(event, payload, more),
            wakeOutbox: (lane) => ports.find('outbox')?.wake(lane),
            chunk: (channel, text) => channels.chunk(channel, text),
            modelFor: (run) => models.forRun(run),
            tools: models.tools({
              store: () => ports.need('store'),
              status: async () => status.text(),
              sessions: async () => status.sessionsText(),
              now: env.now,
              workspace: gateway.config().agents.defaults.workspace,
            }),
            isMain: (sessionKey, agentId) => sessionKey === mainSessionKey(sessionDefaults(), agentId),
            settings: runSettings(gateway.config()),
            root: { send: (event) => gateway.root().send(event) },
            offer: (port) => ports.offer('runs', port),
            log: log.child('runs'),
          }),
          1_000,
        ),
        nested('outbox', outboxSpec(channels.outboxPorts(env, (port) => ports.offer('outbox', port))), 2_500),
        nested(
          'hub',
          hubSpec({
            env,
            listener: gateway.listener,
            presence,
            nodes: nodes.registry,
            canonicalKey,
            policy: () => policyOf(gateway),
            handshakeMs: gateway.handshakeMs,
            maxPayload: gateway.config().gateway.maxPayload,
            maxBufferedBytes: gateway.config().gateway.maxBufferedBytes,
            verbose: log.isDebug,
            contextFor: createContexts(source),
            health: () => ({ payload: health.current(), version: health.version }),
            refreshHealth: () => refresh(),
            about: { version, host: hostname(), configPath: options.configPath, stateDir: options.stateDir, startedAt: gateway.startedAt },
            sessionDefaults: () => {
              const defaults = sessionDefaults();
              return { ...defaults, mainSessionKey: mainKeyOf(defaults) };
            },
            retryAfterMs: gateway.retryAfterMs,
            offer: (port) => ports.offer('hub', port),
            onShutdown: gateway.onShutdown,
            log: log.child('ws'),
          }),
          700,
        ),
        row({
          id: 'control',
          systemId: 'control',
          logic: control,
          input: {
            env,
            allowSignal: gateway.config().commands.restart,
            recentRestarts: gateway.restarts,
            ports: {
              warn: (message: string) => log.child('control').warn({}, message),
              restart(reason: string, kind: RestartKind) {
                if (kind === 'soft') gateway.restarts.push(env.now());
                gateway.restarts.splice(0, gateway.restarts.length - 20);
                log.child('control').info({ reason, kind }, 'restart requested');
                gateway.root().send({ type: 'restart.asked', reason, kind });
              },
            },
          },
          restart: 'permanent',
          shutdownMs: 100,
        }),
      ],
    }),
    edge: () => ({
      name: 'edge',
      strategy: 'one_for_one',
      intensity: { max: 10, withinMs: 60_000 },
      exhausted: { coolDownMs: 300_000 },
      children: [
        row({
          id: 'inbound',
          logic: createInbound({ ports, config: gateway.config, defaults: sessionDefaults, now: env.now }),
          restart: 'permanent',
          shutdownMs: 0,
        }),
        row({ id: 'models', logic: models.actor, restart: 'permanent', shutdownMs: 0, startMs: 5_000 }),
        row({
          id: 'sweeper',
          logic: sweeper({ store: () => ports.need('store'), now: env.now, log: log.child('store') }),
          restart: 'permanent',
          shutdownMs: 0,
        }),
        row({ id: 'health', logic: healthTicker(() => refresh()), restart: 'permanent', shutdownMs: 0 }),
        row({
          id: 'updater',
          logic: updater({
            env: options.env,
            groups: updateGroups,
            offer: (port) => ports.offer('updater', port),
            log: log.child('update'),
          }),
          restart: 'permanent',
          shutdownMs: 0,
        }),
        nested('channels', channels.spec(env), 2_000),
      ],
    }),
  };
}

const defaultAgent = (config: Config) => agentsOf(config).find(({ isDefault }) => isDefault)?.id ?? 'main';

function agentsOf(config: Config): { id: string; name?: string; isDefault: boolean }[] {
  const { list } = config.agents;
  if (list.length === 0) return [{ id: 'main', isDefault: true }];
  const chosen = list.find((agent) => agent.default) ?? list[0];
  return list.map((agent) => ({ id: agent.id.toLowerCase(), isDefault: agent === chosen, ...(agent.name ? { name: agent.name } : {}) }));
}

const mainKeyOf = (defaults: { defaultAgentId: string; mainKey: string; scope: string }) =>
  defaults.scope === 'global' ? 'global' : `agent:${defaults.defaultAgentId}:${defaults.mainKey}`;

function policyOf({ options, config }: Gateway) {
  const { strictClientIds, controlUi, nodes } = config().gateway;
  return {
    auth: options.auth,
    strictClientIds,
    nodeMethods: nodes.allowMethods,
    controlUi: { allowInsecureAuth: controlUi.allowInsecureAuth, dangerouslyDisableDeviceAuth: controlUi.dangerouslyDisableDeviceAuth },
  };
}

function runSettings({ agents }: Config) {
  const { defaults } = agents;
  return {
    widths: { main: defaults.maxConcurrent, subagent: defaults.subagents.maxConcurrent, cron: 1 },
    timeoutMs: defaults.timeoutSeconds * 1_000,
    stallMs: defaults.stallSeconds * 1_000,
    maxSteps: 60,
    resumeMs: defaults.resumeMaxMinutes * 60_000,
    showTools: defaults.verboseDefault !== 'off',
  };
}

function inboxOf(ports: Ports<PortTable>, name: string): number | undefined {
  if (name === 'store') return ports.find('store')?.pending;
  if (name === 'outbox') return ports.find('outbox')?.depth();
  if (name === 'desk') return ports.find('runs')?.waiting;
  return undefined;
}

/** Those that are there whoever is connected: the answer of one client must not depend on its own connection. */
function countActors(actor: AnyActorRef): number {
  const { children = {} } = actor.getSnapshot() as { children?: Record<string, AnyActorRef> };
  return Object.values(children)
    .filter(({ id }) => !id.startsWith('shard:'))
    .reduce((sum, child) => sum + countActors(child), 1);
}
