/**
 * The health document: a projection of what the actors are in right now, never a flag kept aside. The same document is the
 * answer of `health`, the snapshot in `hello-ok`, and the `health` event (cli.md 9.2, lifecycle 12.2).
 */
import type { AccountStatus } from './channels/contract.ts';

export interface HealthSource {
  now(): number;
  phase(): string;
  generation(): number;
  isSafe(): boolean;
  /** Names and last errors of core actors that are down. */
  degraded(): { id: string; state: string; lastError?: string; restarts: number }[];
  /** The store or the runs are not there. */
  isCoreAbsent(): boolean;
  actorCount(): number;
  accounts(): AccountStatus[];
  outbox(): { queued: number };
  channelLabels: Record<string, string>;
  linkedChannel(): { id: string; label: string; accountId: string } | undefined;
  sessions(): { path: string; count: number; recent: { key: string; updatedAt: number }[] };
  agents(): { id: string; name?: string; isDefault: boolean }[];
  config(): { appliedHash: string; issues: { path: string; message: string }[] };
  model(): string | undefined;
}

export interface Health {
  readonly version: number;
  /** The newest document; computed on the first call. */
  current(): Record<string, unknown>;
  /** Computes it anew for somebody who asks about now, without telling anybody. */
  refreshQuietly(): Record<string, unknown>;
  /** Something that the document shows has changed: the next reader gets a new one. */
  invalidate(): void;
  /** Computes it anew and counts. */
  refresh(): Record<string, unknown>;
  readonly ageMs: number;
}

export function createHealth(source: HealthSource): Health {
  let version = 1;
  let computedAt = source.now();
  // Not before somebody asks: it looks at actors that are made after it.
  let document: Record<string, unknown> | undefined;
  let isStale = false;
  let paidAt = 0;

  function look() {
    const from = performance.now();
    computedAt = source.now();
    document = compute(source);
    isStale = false;
    const to = performance.now();
    paidAt = to + (to - from) * costFactor;
    return document;
  }

  function refresh() {
    version += 1;
    return look();
  }

  return {
    get version() {
      return version;
    },
    get ageMs() {
      return source.now() - computedAt;
    },
    // A crowd that comes and goes changes the document all the time: it takes no more than a tenth of the loop.
    current: () => (document === undefined || (isStale && performance.now() >= paidAt) ? look() : document),
    invalidate() {
      isStale = true;
    },
    refreshQuietly: () => compute(source),
    refresh,
  };
}

const costFactor = 10;

const heartbeatOff = { enabled: false, every: '0m', everyMs: null, prompt: '', target: 'none', ackMaxChars: 300 };

function compute(source: HealthSource): Record<string, unknown> {
  const startedAt = performance.now();
  const ts = source.now();
  const phase = source.phase();
  const accounts = source.accounts();
  const ids = [...new Set(accounts.map(({ channel }) => channel))];
  const linked = source.linkedChannel();
  const sessions = source.sessions();
  const shown = {
    path: sessions.path,
    count: sessions.count,
    recent: sessions.recent.slice(0, 5).map(({ key, updatedAt }) => ({ key, updatedAt, age: Math.max(0, ts - updatedAt) })),
  };
  const degraded = source.degraded();
  const ok =
    (phase.startsWith('running') || phase === 'draining' || phase === 'starting' || phase === 'opening') &&
    !source.isSafe() &&
    !source.isCoreAbsent() &&
    !degraded.some(({ id }) => id.startsWith('core/'));
  const agents = source.agents();
  const { appliedHash, issues } = source.config();
  const linkChannel = linked && { id: linked.id, label: linked.label, linked: false, authAgeMs: null, accountId: linked.accountId };
  const model = source.model();
  return {
    ok,
    ts,
    durationMs: Math.max(0, Math.round(performance.now() - startedAt)),
    phase,
    generation: source.generation(),
    ready: ok && phase.startsWith('running') && linked === undefined,
    ...(linkChannel === undefined ? {} : { linkChannel }),
    channels: Object.fromEntries(
      ids.map((id) => [
        id,
        channelOf(
          accounts.filter(({ channel }) => channel === id),
          ts,
        ),
      ]),
    ),
    channelOrder: ids,
    channelLabels: Object.fromEntries(ids.map((id) => [id, source.channelLabels[id] ?? id])),
    heartbeatSeconds: 0,
    defaultAgentId: agents.find(({ isDefault }) => isDefault)?.id ?? 'main',
    agents: agents.map(({ id, name, isDefault }) => ({
      agentId: id,
      ...(name === undefined ? {} : { name }),
      isDefault,
      heartbeat: heartbeatOff,
      sessions: shown,
    })),
    sessions: shown,
    outbox: source.outbox(),
    ...(model === undefined ? {} : { model }),
    actors: { total: source.actorCount(), degraded },
    config: { appliedHash, fileHash: appliedHash, pending: 'none', issues },
  };
}

function channelOf(accounts: AccountStatus[], ts: number): Record<string, unknown> {
  const [first] = accounts;
  const shown = Object.fromEntries(accounts.map((account) => [account.accountId, accountOf(account, ts)]));
  return { ...(first === undefined ? {} : accountOf(first, ts)), accounts: shown };
}

/** Silence is neither proof of life nor of death: evidence comes with its age. */
function accountOf(account: AccountStatus, ts: number): Record<string, unknown> {
  const aged = (value: 'good' | 'bad' | 'unknown', at: number | undefined) => ({
    value,
    ...(at === undefined ? {} : { ageMs: Math.max(0, ts - at) }),
  });
  const isOnline = account.state === 'online';
  return {
    accountId: account.accountId,
    configured: account.configured,
    running: !['disabled', 'unconfigured', 'stopped'].includes(account.state),
    connected: isOnline,
    state: account.state,
    epoch: account.epoch,
    reconnectAttempts: account.attempt,
    evidence: {
      link: aged(account.state === 'unlinked' ? 'bad' : account.configured ? 'good' : 'unknown', account.since),
      transport: aged(isOnline ? 'good' : account.state === 'connecting' ? 'unknown' : 'bad', account.lastTransportAt ?? account.since),
      incoming: aged(account.lastInboundAt === undefined ? 'unknown' : 'good', account.lastInboundAt),
      outgoing: aged(account.lastOutboundAt === undefined ? 'unknown' : 'good', account.lastOutboundAt),
    },
    ...(account.tokenSource === undefined ? {} : { tokenSource: account.tokenSource }),
    ...(account.mode === undefined ? {} : { mode: account.mode }),
    ...(account.identity === undefined ? {} : { bot: account.identity }),
    ...(account.lastError === undefined ? {} : { lastError: account.lastError }),
    ...(account.lastInboundAt === undefined ? {} : { lastInboundAt: account.lastInboundAt }),
    ...(account.lastOutboundAt === undefined ? {} : { lastOutboundAt: account.lastOutboundAt }),
  };
}
