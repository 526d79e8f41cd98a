/**
 * What the store promises, as types. One worker thread owns one SQLite file; everybody else sends verbs and waits for
 * answers. Every answer is given after the commit that made it durable.
 *
 * A verb may carry the `owner` and `epoch` of whoever asks. When that owner has been claimed again since, the verb fails
 * with `StoreError('fenced')`: a late write of an earlier life changes nothing. All times are integer ms since the Unix epoch.
 */
import type { NodeDescription, PairedNode, PendingNode } from '../../protocol/nodes.ts';

export type StoreErrorCode = 'fenced' | 'closed' | 'conflict' | 'not-found' | 'io' | 'overloaded';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** Immutable reply target, captured with the message it answers. Nothing ever asks for "the last channel". */
export interface Address {
  channel: string;
  account: string;
  /** Platform chat id as text. */
  chat: string;
  thread?: string;
  /** Platform id of the message that is answered. */
  replyTo?: string;
}

/** What a platform delivered, before anybody looked at it. */
export interface JournalInput {
  dedupeKey: string;
  chat: string;
  thread?: string;
  sender: string;
  /** When the platform says it was sent. */
  ts: number;
  kind: string;
  /** At most 64 KiB as JSON. */
  body: unknown;
}

export type JournalState = 'new' | 'routed' | 'handled' | 'merged' | 'dropped' | 'failed' | 'expired';

export interface JournalRow extends JournalInput {
  id: number;
  channel: string;
  account: string;
  state: JournalState;
  reason?: string;
  runId?: string;
  updatedAt: number;
}

export type OutboxState = 'queued' | 'sending' | 'sent' | 'failed' | 'unknown' | 'cancelled';

export interface OutboxInput {
  /** Unique for ever: `run:<runId>:<n>`, `send:<idempotencyKey>`, … A second insert returns the first row unchanged. */
  key: string;
  address: Address;
  kind: 'text';
  /** Final text: a retry never renders again. */
  payload: { text: string; [more: string]: unknown };
  /** Default: 24 h after insertion. */
  expiresAt?: number;
}

export interface OutboxRow extends OutboxInput {
  id: number;
  /** `channel:account:chat:thread`; rows of one lane leave in the order of their `id`. */
  lane: string;
  state: OutboxState;
  attempts: number;
  /** Not before this moment. */
  nextAt: number;
  platformId?: string;
  lastError?: string;
  expiresAt: number;
  createdAt: number;
  settledAt?: number;
}

export type RunState = 'queued' | 'active' | 'done' | 'failed' | 'aborted' | 'timedOut' | 'interrupted';
export type RunSource = 'agent' | 'chat' | 'channel';

export interface RunInput {
  /** Equals the idempotency key for `agent` and `chat.send`. */
  runId: string;
  /** Canonical, lower case. */
  sessionKey: string;
  agentId: string;
  source: RunSource;
  /** Name of the lane it runs in: `main`, `subagent`, `cron`, … */
  lane: string;
  /** Reply target, or absent when nobody but the caller hears the answer. */
  address?: Address;
  /** What the run was asked; enough to start it again after a kill. */
  request: {
    message: string;
    /** Spelling of the session key the client used; events carry it back verbatim. */
    clientSessionKey?: string;
    timeoutMs?: number;
    [more: string]: unknown;
  };
  /** Journal rows that this run answers. */
  journalIds?: number[];
  acceptedAt: number;
}

/** The final answer of a run, kept as the caller will see it. */
export interface RunFinal {
  ok: boolean;
  payload: unknown;
  error?: { code: string; message: string };
}

export interface RunRow extends RunInput {
  sessionId: string;
  state: RunState;
  /** How often it was started; more than one means it was resumed after a kill. */
  starts: number;
  startedAt?: number;
  endedAt?: number;
  final?: RunFinal;
  /** What it adds to the history, up to the tool call with side effects that it began last. Absent: it began none. */
  noted?: HistoryInput[];
}

export interface ConversationRow {
  sessionKey: string;
  sessionId: string;
  agentId: string;
  createdAt: number;
  updatedAt: number;
  /** Free fields of the entry (label, route, counters, overrides). */
  entry: Record<string, unknown>;
}

export interface HistoryInput {
  role: 'user' | 'assistant' | 'toolResult';
  content: ({ type: string } & Record<string, unknown>)[];
  timestamp: number;
  stopReason?: string;
  usage?: unknown;
  provider?: string;
  model?: string;
  toolCallId?: string;
  toolName?: string;
  isError?: boolean;
  runId?: string;
}

export interface HistoryRow extends HistoryInput {
  sessionId: string;
  seq: number;
}

export interface Note {
  id: number;
  text: string;
  createdAt: number;
}

/** Each verb: what goes in, what comes out. */
export interface StoreVerbs {
  /** Takes ownership: the epoch grows with each claim, older holders are fenced. */
  'lease.claim': [{ owner: string }, { epoch: number }];

  /**
   * Journal rows and the platform cursor in one transaction. Known dedupe keys are skipped. The cursor only grows.
   * Answers the rows that are new, in order.
   */
  'journal.append': [
    { channel: string; account: string; updates: JournalInput[]; cursor?: { id: string; value: number } },
    { rows: JournalRow[] },
  ];
  /** Rows still `new` or `routed` behind the row `after`, oldest first: what a start has to pick up. */
  'journal.pending': [{ channel: string; account: string; after?: number; limit?: number }, { rows: JournalRow[] }];
  'journal.mark': [{ ids: number[]; state: JournalState; reason?: string; runId?: string }, { changed: number }];
  'cursor.get': [{ id: string }, { value: number | null }];

  'outbox.insert': [{ rows: OutboxInput[]; now: number }, { rows: (OutboxRow & { created: boolean })[] }];
  'outbox.get': [{ key: string }, { row: OutboxRow | null }];
  /** Lanes of an account that hold queued rows, with the moment each may go on. */
  'outbox.lanes': [{ channel: string; account: string }, { lanes: { lane: string; nextAt: number; queued: number }[] }];
  /**
   * Takes the head of a lane: `queued` becomes `sending`, attempts grow by one, committed before the answer. Expired rows
   * at the head are cancelled on the way. `row` is null when nothing is due; `nextAt` then says when to ask again, and `stuck`
   * that the head is still `sending`: whoever asks knows whether somebody is.
   */
  'outbox.claim': [{ lane: string; now: number }, { row: OutboxRow | null; nextAt: number | null; stuck?: true }];
  /** When the head of a lane is due, without taking it; null when the lane holds nothing. */
  'outbox.due': [{ lane: string }, { at: number | null }];
  /** `ask`: a row that becomes `unknown` leads to a question to its chat, in the same transaction. */
  'outbox.mark': [
    {
      id: number;
      state: OutboxState;
      now: number;
      nextAt?: number;
      platformId?: string;
      error?: string;
      payload?: OutboxInput['payload'];
      ask?: string;
    },
    { row: OutboxRow },
  ];
  /** Withdraws a row that was never attempted; `null` when it has already left. The key is free again. */
  'outbox.withdraw': [{ key: string }, { row: OutboxRow | null }];
  /** Rows left in `sending` by somebody who is gone. They become `to` and are answered. `except`: lanes at work right now. */
  'outbox.recover': [
    { channel: string; account: string; to: 'queued' | 'unknown'; now: number; except?: string[]; ask?: string },
    { rows: OutboxRow[] },
  ];
  /** Rows of an address in a state, newest first (used by `/resend`). */
  'outbox.find': [{ channel: string; account: string; chat: string; state: OutboxState; limit: number }, { rows: OutboxRow[] }];
  'outbox.counts': [
    { channel: string; account: string; since: number },
    { queued: number; unknown: number; failed: number; oldestAt: number | null },
  ];

  /**
   * Accepts a run: inserts it as `queued`, creates or touches its conversation and marks its journal rows `routed`, in one
   * transaction. A known `runId` changes nothing and answers the stored row with `created: false`. `opened`: the conversation
   * is new.
   */
  'runs.accept': [{ run: RunInput }, { run: RunRow; created: boolean; opened: boolean }];
  'runs.get': [{ runId: string }, { run: RunRow | null }];
  'runs.start': [{ runId: string; now: number }, { run: RunRow }];
  /** Before a tool with side effects runs: after a kill the run is not started again, and its history says what it was at. */
  'runs.note': [{ runId: string; entries: HistoryInput[] }, Record<string, never>];
  /**
   * Ends a run: its row, its history entries, its outbox rows and its journal rows (`handled`) commit together or not at
   * all. Ending a run that has ended answers the first ending with `first: false`.
   */
  'runs.finish': [
    {
      runId: string;
      state: Exclude<RunState, 'queued' | 'active'>;
      final: RunFinal;
      endedAt: number;
      history: HistoryInput[];
      outbox: OutboxInput[];
      entry?: Record<string, unknown>;
    },
    { run: RunRow; first: boolean; outbox: OutboxRow[] },
  ];
  /** Runs that are `queued` or `active`, in the order they were accepted: what a start has to pick up. */
  'runs.open': [Record<string, never>, { runs: RunRow[] }];

  'conversations.list': [{ limit?: number }, { rows: ConversationRow[]; count: number }];
  'conversations.get': [{ sessionKey: string }, { row: ConversationRow | null }];
  /** Merges `entry`; creates the conversation when it is missing. */
  'conversations.patch': [{ sessionKey: string; agentId: string; now: number; entry: Record<string, unknown> }, { row: ConversationRow }];

  'history.append': [{ sessionKey: string; agentId: string; entries: HistoryInput[]; now: number }, { sessionId: string; lastSeq: number }];
  /** The newest `limit` entries of a conversation, oldest first. */
  'history.read': [{ sessionKey: string; limit: number }, { sessionId: string | null; rows: HistoryRow[] }];

  'notes.add': [{ sessionKey: string; text: string; now: number }, { note: Note }];
  /** Notes of a conversation that contain every word of `query` (all when empty), oldest first. */
  'notes.find': [{ sessionKey: string; query: string; limit: number }, { notes: Note[] }];

  /** A node that asks to be paired. Asking again answers the first request; `null`: too many wait already. */
  'nodes.request': [
    { node: NodeDescription & { nodeId: string; silent?: boolean }; requestId: string; now: number },
    { request: PendingNode | null; created: boolean },
  ];
  /** Requests that wait, and paired nodes, newest first. */
  'nodes.list': [{ now: number }, { pending: PendingNode[]; paired: PairedNode[] }];
  'nodes.get': [{ nodeId: string }, { node: PairedNode | null }];
  /** Ends the request and pairs its node, with a new token also when it was paired before. The token itself is not kept. */
  'nodes.approve': [
    { requestId: string; tokenHash: string; now: number },
    { outcome: 'paired'; node: PairedNode } | { outcome: 'unknown' | 'full' },
  ];
  /** `null`: no such request (any more). */
  'nodes.reject': [{ requestId: string; now: number }, { nodeId: string | null }];
  /** `null`: not paired, or another token. */
  'nodes.verify': [{ nodeId: string; tokenHash: string }, { node: PairedNode | null }];
  'nodes.rename': [{ nodeId: string; displayName: string }, { known: boolean }];
  /** Stamps those of them that are paired. */
  'nodes.connected': [{ nodeIds: string[]; now: number }, { known: number }];

  /** Removes what is past its time (settled outbox and journal rows 7 days, runs 24 h). */
  'store.sweep': [{ now: number }, { removed: number }];
}

export type VerbName = keyof StoreVerbs;
export type VerbParams<V extends VerbName> = StoreVerbs[V][0];
export type VerbResult<V extends VerbName> = StoreVerbs[V][1];

/** How the rest of the gateway sees the store. */
export interface StorePort {
  call<V extends VerbName>(verb: V, params: VerbParams<V>, fence?: { owner: string; epoch: number }): Promise<VerbResult<V>>;
  /** Verbs sent and not answered yet. */
  readonly pending: number;
}
