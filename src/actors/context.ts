/** Answers what a method may ask, out of the ports of the running gateway. */
import type { MethodContext } from '../protocol/context.ts';
import { invalidRequest, unavailable } from '../protocol/errors.ts';
import {
  agentOfSessionKey,
  canonicalSessionKey,
  kindOfSessionKey,
  mainSessionKey,
  sessionKeyOf,
  type SessionDefaults,
} from '../protocol/session-key.ts';
import type { ChannelDesk } from './channels/desk.ts';
import type { Connection } from './hub/connection.ts';
import type { Address, ConversationRow, HistoryRow } from './store/contract.ts';
import type { Ports } from './ports.ts';
import type { PortTable } from './table.ts';

export interface ContextSource {
  ports: Ports<PortTable>;
  now(): number;
  defaults(): SessionDefaults;
  agentIds(): string[];
  channels: ChannelDesk;
  presence: { list: MethodContext['presence']['list']; note: MethodContext['presence']['note'] };
  health(options: { probe: boolean }): unknown;
  status(): unknown;
  config: MethodContext['config'];
  update: MethodContext['update'];
  logs: MethodContext['logs'];
  models(): unknown[];
  nodes: MethodContext['nodes'];
  inspector: MethodContext['inspector'];
  storePath: string;
}

/** Largest decoded attachment (protocol 4.2.1). */
const maxAttachmentBytes = 5_000_000;
const historyBytes = 6 * 1024 * 1024;

/** All members but the identity are the same for every connection, and are made once. */
export function createContexts(source: ContextSource): (connection: Connection) => MethodContext {
  const shared = build(source);
  return ({ identity }) => {
    if (identity === undefined) throw new Error('a connection without identity has no context');
    return { ...shared, identity };
  };
}

function build(source: ContextSource): Omit<MethodContext, 'identity'> {
  const { ports, now, defaults } = source;
  const canonical = (key: string) => canonicalSessionKey(key, defaults());
  const isKnown = async (runId: string) =>
    ports.need('runs').isActive(runId) || (await ports.need('store').call('runs.get', { runId })).run !== null;

  return {
    health: source.health,
    status: source.status,
    presence: source.presence,
    config: source.config,
    update: source.update,
    logs: source.logs,
    models: source.models,
    nodes: source.nodes,
    inspector: source.inspector,
    runs: {
      async submit(request) {
        checkAttachments(request.attachments);
        const { idempotencyKey, source: kind, message, timeoutMs, lane = 'main', thinking, extraSystemPrompt, label } = request;
        let target: ReturnType<typeof route>;
        try {
          target = route(source, request);
        } catch (error) {
          // A known key is answered as before, whatever else the request says.
          if (!(await isKnown(idempotencyKey))) throw error;
          target = { sessionKey: mainSessionKey(defaults()), agentId: defaults().defaultAgentId };
        }
        // Nothing was waited for up to here: an abort that comes behind this request finds its run.
        return ports.need('runs').submit({
          runId: idempotencyKey,
          sessionKey: target.sessionKey,
          agentId: target.agentId,
          source: kind,
          lane,
          ...(target.address === undefined ? {} : { address: target.address }),
          request: {
            // No model here looks at files, and none of them takes a turn without words.
            message: message.trim() === '' ? '(sent an attachment, which cannot be shown here)' : message,
            ...(request.sessionKey === undefined ? {} : { clientSessionKey: request.sessionKey }),
            ...(timeoutMs === undefined ? {} : { timeoutMs }),
            ...(thinking === undefined ? {} : { thinking }),
            ...(extraSystemPrompt === undefined ? {} : { extraSystemPrompt }),
            ...(label === undefined ? {} : { label }),
          },
          acceptedAt: now(),
        });
      },
      wait: (runId, timeoutMs) => ports.need('runs').wait(runId, timeoutMs),
      async abort(sessionKey, runId, reason) {
        const runs = ports.need('runs');
        const owner = runId === undefined ? undefined : runs.sessionKeyOf(runId);
        if (owner !== undefined && owner !== canonical(sessionKey)) throw invalidRequest('runId does not match sessionKey');
        return runs.abort(canonical(sessionKey), runId, reason);
      },
      isActive: (runId) => ports.need('runs').isActive(runId),
    },
    send: (params) => source.channels.send(params),
    async history(sessionKey, limit) {
      const { sessionId, rows } = await ports.need('store').call('history.read', { sessionKey: canonical(sessionKey), limit });
      return { sessionKey, ...(sessionId === null ? {} : { sessionId }), messages: fit(rows.map(messageOf)) };
    },
    async sessions(params) {
      const { rows, count } = await ports.need('store').call('conversations.list', { limit: 1_000 });
      const chosen = rows.filter((row) => matches(row, params, now()));
      const limit = typeof params['limit'] === 'number' ? params['limit'] : 200;
      return {
        ts: now(),
        path: source.storePath,
        count: Math.min(count, chosen.length),
        defaults: { modelProvider: null, model: null, contextTokens: null },
        sessions: chosen.slice(0, limit).map(rowOf),
      };
    },
  };
}

/** Which conversation a request means, and where its answer goes (protocol 4.2.1 steps 4 to 8). */
function route(
  source: ContextSource,
  request: Parameters<MethodContext['runs']['submit']>[0],
): { sessionKey: string; agentId: string; address?: Address } {
  const defaults = source.defaults();
  const channel = request.channel?.trim().toLowerCase() || undefined;
  if (channel !== undefined && channel !== 'last' && channel !== 'webchat' && !source.channels.isKnown(channel)) {
    throw invalidRequest(`unknown channel: ${channel}`);
  }
  const agentId = request.agentId?.trim().toLowerCase();
  if (agentId !== undefined && !source.agentIds().includes(agentId)) throw invalidRequest(`unknown agent id: ${agentId}`);
  if (request.sessionKey !== undefined && request.sessionKey.trim() !== '') {
    const sessionKey = canonicalSessionKey(request.sessionKey, defaults);
    const owner = agentOfSessionKey(sessionKey, defaults);
    if (agentId !== undefined && agentId !== owner) throw invalidRequest(`agent ${agentId} does not match session key agent ${owner}`);
    return { sessionKey, agentId: owner };
  }
  const agent = agentId ?? defaults.defaultAgentId;
  const deliver = request.deliver === true && channel !== 'webchat';
  if (request.to && request.to.trim() !== '') {
    const named = channel === 'last' ? undefined : channel;
    if (deliver) {
      const target = source.channels.resolve({
        to: request.to,
        ...(named ? { channel: named } : {}),
        ...(request.accountId ? { accountId: request.accountId } : {}),
      });
      const peer = {
        agentId: agent,
        channel: target.address.channel,
        accountId: target.address.account,
        kind: target.kind,
        peer: target.address.chat,
      };
      return {
        sessionKey: sessionKeyOf(
          { ...peer, ...(target.address.thread ? { thread: target.address.thread } : {}) },
          source.channels.dmScope(),
          defaults,
        ),
        agentId: agent,
        address: target.address,
      };
    }
    return { sessionKey: mainSessionKey(defaults, agent), agentId: agent };
  }
  return { sessionKey: mainSessionKey(defaults, agent), agentId: agent };
}

function checkAttachments(attachments: unknown[] | undefined): void {
  for (const attachment of attachments ?? []) {
    const content = (attachment as { content?: unknown } | null)?.content;
    if (typeof content !== 'string' || content === '') throw invalidRequest('attachment content must be base64 text or a data URL');
    const base64 = content.replace(/^data:[^,]*;base64,/, '');
    if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(base64.trim())) throw invalidRequest('attachment content is not valid base64');
    if (Buffer.byteLength(base64, 'base64') > maxAttachmentBytes)
      throw invalidRequest(`attachment is larger than ${maxAttachmentBytes} bytes`);
  }
}

/** A history entry as clients know it. */
function messageOf({ role, content, timestamp, stopReason, usage, toolCallId, toolName, isError, runId }: HistoryRow) {
  return {
    role,
    content,
    timestamp,
    ...(stopReason === undefined ? {} : { stopReason }),
    ...(usage === undefined ? {} : { usage }),
    ...(toolCallId === undefined ? {} : { toolCallId }),
    ...(toolName === undefined ? {} : { toolName }),
    ...(isError === undefined ? {} : { isError }),
    ...(runId === undefined ? {} : { runId }),
  };
}

/** Oldest ones are left out until the list fits into a frame; one message is always kept. */
function fit<T>(messages: T[]): T[] {
  let bytes = 2;
  let first = messages.length;
  while (first > 0) {
    bytes += Buffer.byteLength(JSON.stringify(messages[first - 1])) + 1;
    if (bytes > historyBytes && first < messages.length) break;
    first -= 1;
  }
  return messages.slice(first);
}

function matches(row: ConversationRow, params: Record<string, unknown>, now: number): boolean {
  const { activeMinutes, label, agentId, search, includeGlobal, includeUnknown } = params;
  if (row.sessionKey === 'global' && includeGlobal !== true) return false;
  if (row.sessionKey === 'unknown' && includeUnknown !== true) return false;
  if (typeof activeMinutes === 'number' && now - row.updatedAt > activeMinutes * 60_000) return false;
  if (typeof agentId === 'string' && row.agentId !== agentId.toLowerCase()) return false;
  if (typeof label === 'string' && row.entry['label'] !== label) return false;
  if (typeof search !== 'string' || search === '') return true;
  const text = [row.sessionKey, row.sessionId, row.entry['label'], row.entry['displayName']].join(' ').toLowerCase();
  return text.includes(search.toLowerCase());
}

const rowOf = ({ sessionKey, sessionId, updatedAt, entry }: ConversationRow) => ({
  ...entry,
  key: sessionKey,
  kind: kindOfSessionKey(sessionKey),
  sessionId,
  updatedAt,
});

/** Says no in the words a caller can act on, while a part of the gateway is being rebuilt. */
export const notYet = (part: string) => unavailable(`${part} is not up yet`, 1_000);
