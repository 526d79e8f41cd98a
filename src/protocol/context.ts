/**
 * The short list of things a method may ask of the running gateway. A handler sees nothing else, so a test hands in a
 * plain object. Whatever cannot be answered now is refused with a retryable UNAVAILABLE by the implementation.
 */
import type { RestartWish } from './restart-wish.ts';
import type { Caller } from './access.ts';
import type { PresenceEntry } from './frames.ts';
import type { NodesPort } from './nodes.ts';

/** Who sent the request. */
export interface Identity extends Caller {
  connId: string;
  clientId: string;
  mode: string;
  displayName?: string;
  instanceId?: string;
  /** Which node this is (protocol D-32); operators are none. */
  nodeId?: string;
  /** Loopback, local host name and no foreign proxy (protocol 2.6). */
  isLocal: boolean;
}

export interface RunRequest {
  idempotencyKey: string;
  message: string;
  source: 'agent' | 'chat';
  sessionKey?: string;
  sessionId?: string;
  agentId?: string;
  to?: string;
  channel?: string;
  accountId?: string;
  threadId?: string;
  deliver?: boolean;
  timeoutMs?: number;
  lane?: string;
  thinking?: string;
  label?: string;
  extraSystemPrompt?: string;
  attachments?: unknown[];
}

/** How a run ended, as its callers are told. */
export interface RunOutcome {
  ok: boolean;
  payload: { runId: string; status: 'ok' | 'error'; summary?: string; result?: unknown };
  error?: { code: string; message: string };
}

export interface SubmittedRun {
  runId: string;
  acceptedAt: number;
  /** False when the key was known: no second run was made. */
  created: boolean;
  /** There when the run has ended already. */
  outcome?: RunOutcome;
  /** Resolves with the end of the run; every caller with the key gets the same. */
  ended: Promise<RunOutcome>;
  /** Lets the run begin. Called after the acknowledgement is on the wire, so that no event overtakes it. */
  begin(): void;
}

/** A new text for the configuration file. */
export interface ConfigWrite {
  raw: string;
  baseHash?: string;
}

export interface MethodContext {
  identity: Identity;
  health(options: { probe: boolean }): unknown;
  status(): unknown;
  presence: {
    list(): PresenceEntry[];
    note(params: Record<string, unknown> & { text: string }): void;
  };
  runs: {
    submit(request: RunRequest): Promise<SubmittedRun>;
    wait(runId: string, timeoutMs: number): Promise<Record<string, unknown>>;
    /** Aborts one run or all of a conversation. @throws INVALID_REQUEST when the run belongs to another one. */
    abort(sessionKey: string, runId: string | undefined, reason: 'rpc' | 'stop'): Promise<string[]>;
    /** Whether a run with this key is known and not ended. */
    isActive(runId: string): boolean;
  };
  send(params: {
    to: string;
    message: string;
    channel?: string;
    accountId?: string;
    sessionKey?: string;
    idempotencyKey: string;
  }): Promise<Record<string, unknown>>;
  history(sessionKey: string, limit: number): Promise<Record<string, unknown>>;
  sessions(params: Record<string, unknown>): Promise<Record<string, unknown>>;
  config: {
    get(): unknown;
    schema(): unknown;
    set(write: ConfigWrite): Promise<unknown>;
    patch(write: ConfigWrite & RestartWish): Promise<unknown>;
    apply(write: ConfigWrite & RestartWish): Promise<unknown>;
  };
  /** Brings newer code of this program to this machine. */
  update(wish: RestartWish & { timeoutMs?: number }): Promise<unknown>;
  logs(params: { cursor?: number; limit?: number; maxBytes?: number }): Promise<unknown>;
  models(): unknown[];
  nodes: NodesPort;
  inspector: { tree(): unknown; history(params: { limit?: number; actor?: string }): unknown };
}
