/**
 * Names of conversations. The canonical form is `agent:<agentId>:<rest>`, always lower case; people and clients may write
 * shorter ones. agent.md section 1.
 */
export const DEFAULT_AGENT = 'main';
export const DEFAULT_MAIN_KEY = 'main';

export interface SessionDefaults {
  defaultAgentId: string;
  mainKey: string;
  scope: 'per-sender' | 'global';
}

/** Makes any text a valid agent id: lower case, other characters become `-`, empty becomes `main`. */
export function normalizeAgentId(id: string): string {
  const cleaned = id
    .trim()
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, '-')
    .replace(/^[-_]+/, '')
    .slice(0, 64);
  return cleaned || DEFAULT_AGENT;
}

export const mainSessionKey = (defaults: SessionDefaults, agentId = defaults.defaultAgentId): string =>
  defaults.scope === 'global' ? 'global' : `agent:${normalizeAgentId(agentId)}:${defaults.mainKey.toLowerCase()}`;

/** The canonical spelling of a key as a client wrote it. */
export function canonicalSessionKey(key: string, defaults: SessionDefaults): string {
  const lower = key.trim().toLowerCase();
  if (lower === '' || lower === 'global' || lower === 'unknown') return lower === '' ? mainSessionKey(defaults) : lower;
  const mainKey = defaults.mainKey.toLowerCase();
  if (lower === 'main' || lower === mainKey) return mainSessionKey(defaults);
  const [, agentId, rest] = /^agent:([^:]*):(.+)$/.exec(lower) ?? [];
  if (agentId !== undefined && rest !== undefined) {
    return rest === 'main' || rest === mainKey ? mainSessionKey(defaults, agentId) : `agent:${normalizeAgentId(agentId)}:${rest}`;
  }
  return `agent:${normalizeAgentId(defaults.defaultAgentId)}:${lower}`;
}

/** Agent a canonical key belongs to; `global` and `unknown` belong to the default agent. */
export const agentOfSessionKey = (key: string, defaults: SessionDefaults): string =>
  /^agent:([^:]+):/.exec(key)?.[1] ?? defaults.defaultAgentId;

export type DmScope = 'main' | 'per-peer' | 'per-channel-peer' | 'per-account-channel-peer';

export interface PeerSource {
  agentId: string;
  channel: string;
  accountId: string;
  kind: 'dm' | 'group' | 'channel';
  /** E.164 number or platform chat id. */
  peer: string;
  thread?: string;
}

/** Key of the conversation an inbound message belongs to. */
export function sessionKeyOf(source: PeerSource, dmScope: DmScope, defaults: SessionDefaults): string {
  if (defaults.scope === 'global') return 'global';
  const agent = `agent:${normalizeAgentId(source.agentId)}`;
  if (source.kind === 'dm') {
    const key = {
      main: mainSessionKey(defaults, source.agentId),
      'per-peer': `${agent}:dm:${source.peer}`,
      'per-channel-peer': `${agent}:${source.channel}:dm:${source.peer}`,
      'per-account-channel-peer': `${agent}:${source.channel}:${source.accountId}:dm:${source.peer}`,
    }[dmScope];
    return key.toLowerCase();
  }
  // Telegram calls its forum threads topics and their keys say so.
  const thread = source.thread === undefined ? '' : `:${source.channel === 'telegram' ? 'topic' : 'thread'}:${source.thread}`;
  return `${agent}:${source.channel}:${source.kind}:${source.peer}${thread}`.toLowerCase();
}

/** Kind of conversation, as session lists show it. */
export function kindOfSessionKey(key: string): 'direct' | 'group' | 'global' | 'unknown' {
  if (key === 'global' || key === 'unknown') return key;
  return /:(group|channel):/.test(key) ? 'group' : 'direct';
}

/** Conversations that no chat began: their keys are made, never guessed from an address. */
export const madeSessionKey = {
  /** Commands of Telegram's menu: their own conversation with somebody, acting on the one of the chat. */
  telegramSlash: (userId: string) => `telegram:slash:${userId}`.toLowerCase(),
  subagent: (agentId: string, id: string) => `agent:${normalizeAgentId(agentId)}:subagent:${id}`.toLowerCase(),
  cron: (jobId: string) => `cron:${jobId}`.toLowerCase(),
  hook: (id: string) => `hook:${id}`.toLowerCase(),
  node: (nodeId: string) => `node-${nodeId}`.toLowerCase(),
} as const;
