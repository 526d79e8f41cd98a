/**
 * What a channel is to the rest of the gateway. The account machine (`src/machines/channel-account.ts`) is the same for every
 * channel; a channel brings a `link` (the transport: receives, journals, proves itself) and a `sender` (one platform call
 * per outbox row). The core never imports a channel library.
 */
import type { Address, OutboxRow } from '../store/contract.ts';

/** Why a link ended; the account machine decides what that means. */
export type LinkClosed =
  | { reason: 'lost'; detail: string; retryAfterMs?: number }
  | { reason: 'conflict'; detail: string }
  | { reason: 'refused'; detail: string };

/** Events a link reports to its account machine. */
export type LinkEvent =
  | { type: 'link.opened'; identity: { id: string; name?: string } }
  | { type: 'link.active' }
  | ({ type: 'link.closed' } & LinkClosed);

/** What became of one attempt to deliver a row. */
export type SendOutcome =
  | { kind: 'sent'; platformId: string }
  /** Refused for good. */
  | { kind: 'failed'; error: string }
  /**
   * Provably not accepted; may be tried again after `delayMs` (the policy's own delay when absent). `plain` asks for the
   * same row without formatting. Only a `counted` one uses up an attempt: a network that is away is nobody's fault.
   */
  | { kind: 'retry'; error: string; delayMs?: number; plain?: boolean; counted: boolean }
  /** It left, and nobody can say whether it arrived. */
  | { kind: 'unknown'; error: string };

export interface Sender {
  send(row: OutboxRow, signal: AbortSignal): Promise<SendOutcome>;
}

/** A message that passed access control and has to be answered. */
export interface InboundMessage {
  journalId: number;
  address: Address;
  sender: { id: string; name?: string; username?: string };
  chatType: 'direct' | 'group';
  text: string;
  ts: number;
}

/** What a channel account asks of the core. */
export interface InboundPort {
  /**
   * Hands a journalled message to its conversation. Resolves once the run is accepted on disk, with a promise of its own
   * for the end of that run inside (a bare promise would be waited for).
   */
  deliver(message: InboundMessage): Promise<{ ended: Promise<unknown> }>;
  /** Aborts what runs in the conversation of this address; answers how many runs. */
  stop(address: Address, sender: InboundMessage['sender'], chatType: InboundMessage['chatType']): Promise<number>;
}

export type AccountState =
  | 'disabled'
  | 'unconfigured'
  | 'connecting'
  | 'online'
  | 'backingOff'
  | 'conflict'
  | 'unlinked'
  | 'degraded'
  | 'stopping'
  | 'stopped';

/** One account as health and status show it. */
export interface AccountStatus {
  channel: string;
  accountId: string;
  state: AccountState;
  epoch: number;
  configured: boolean;
  since: number;
  attempt: number;
  lastError?: string;
  identity?: { id: string; name?: string };
  lastInboundAt?: number;
  lastOutboundAt?: number;
  lastTransportAt?: number;
  /** Where the token came from: `config`, `tokenFile`, `env` or `none`. */
  tokenSource?: string;
  mode?: 'polling' | 'webhook';
}
