/** The `status` document and its short spoken form; also keeps the notes that wait for the main conversation. */
import type { Config } from '../protocol/config/types.ts';
import { kindOfSessionKey } from '../protocol/session-key.ts';
import type { Health } from './health.ts';
import type { Presence } from './registry/presence.ts';
import type { ConversationRow } from './store/contract.ts';

export interface StatusSource {
  health: Health;
  presence: Presence;
  now(): number;
  config(): Config;
  recent(): { count: number; rows: ConversationRow[] } | undefined;
}

export interface Status {
  note(text: string): void;
  summary(): Record<string, unknown>;
  text(): string;
  sessionsText(): string;
}

const maxNotes = 20;

interface HealthShape {
  phase: string;
  channels: Record<string, { state: string }>;
  channelLabels: Record<string, string>;
  linkChannel?: unknown;
  defaultAgentId: string;
  sessions: { path: string; count: number };
  model?: string;
}

export function createStatus(source: StatusSource): Status {
  const notes: string[] = [];
  const lastBeacon = new Map<string, string>();
  const current = () => source.health.refreshQuietly() as unknown as HealthShape;

  function channelLines(health: HealthShape): string[] {
    return Object.entries(health.channels).map(([id, { state }]) => `${health.channelLabels[id] ?? id}: ${state}`);
  }

  return {
    note(text) {
      if (notes.at(-1) === text) return;
      if (text.startsWith('Node:') && !isNews(text, lastBeacon)) return;
      notes.push(text);
      notes.splice(0, Math.max(0, notes.length - maxNotes));
    },
    summary() {
      const health = current();
      const { count = 0, rows = [] } = source.recent() ?? {};
      const recent = rows.slice(0, 10).map((row) => sessionStatus(row, source.now()));
      const agentId = health.defaultAgentId;
      return {
        ...(health.linkChannel === undefined ? {} : { linkChannel: health.linkChannel }),
        heartbeat: { defaultAgentId: agentId, agents: [{ agentId, enabled: false, every: '0m', everyMs: null }] },
        channelSummary: channelLines(health),
        queuedSystemEvents: [...notes],
        sessions: {
          paths: [health.sessions.path],
          count,
          defaults: { model: health.model ?? null, contextTokens: null },
          recent,
          byAgent: [{ agentId, path: health.sessions.path, count, recent }],
        },
      };
    },
    text() {
      const health = current();
      const channels = channelLines(health);
      return [
        `The gateway is ${health.phase.split('.')[0]}.`,
        channels.length > 0 ? `Channels: ${channels.join(', ')}.` : 'No channel is configured.',
        `Clients and machines: ${source.presence.list().length - 1}.`,
        `Conversations: ${source.recent()?.count ?? 0}.`,
        `Model: ${health.model ?? 'not chosen yet'}.`,
      ].join('\n');
    },
    sessionsText() {
      const { rows = [] } = source.recent() ?? {};
      if (rows.length === 0) return 'There are no conversations yet.';
      return rows
        .slice(0, 10)
        .map(({ sessionKey, updatedAt }) => `${sessionKey}, last used ${ago(source.now() - updatedAt)} ago`)
        .join('\n');
    },
  };
}

/** A beacon is news when anything but its time of last input changed (protocol 4.1.1). */
function isNews(text: string, last: Map<string, string>): boolean {
  const [head = ''] = text.split('·');
  const key = head
    .replace(/\(.*\)/, '')
    .trim()
    .toLowerCase();
  const reason = /reason ([^·]+)$/.exec(text)?.[1]?.trim() ?? '';
  const rest = text.replace(/· last input \d+s ago/, '').replace(/· reason [^·]+$/, '');
  const known = last.get(key);
  last.set(key, `${rest}|${reason}`);
  if (known === undefined) return !reason.startsWith('periodic') && reason !== 'heartbeat';
  const [oldRest = '', oldReason = ''] = known.split('|');
  return oldRest !== rest || (oldReason !== reason && !reason.startsWith('periodic') && reason !== 'heartbeat');
}

const sessionStatus = (row: ConversationRow, now: number) => ({
  agentId: row.agentId,
  key: row.sessionKey,
  kind: kindOfSessionKey(row.sessionKey),
  sessionId: row.sessionId,
  updatedAt: row.updatedAt,
  age: Math.max(0, now - row.updatedAt),
  totalTokens: null,
  remainingTokens: null,
  percentUsed: null,
  model: typeof row.entry['model'] === 'string' ? row.entry['model'] : null,
  contextTokens: null,
  flags: [],
});

/** `90_000` → `1 min` */
function ago(ms: number): string {
  if (ms < 60_000) return `${Math.max(0, Math.round(ms / 1_000))} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}
