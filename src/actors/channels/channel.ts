/** What makes a channel: one row per kind. WhatsApp will be a second row and a second folder, nothing else. */
import type { AnyActorLogic } from 'xstate';
import type { AccountPolicy } from '../../machines/channel-account.ts';
import type { Config } from '../../protocol/config/types.ts';
import type { Log } from '../log.ts';
import type { StorePort } from '../store/contract.ts';
import type { InboundPort, Sender } from './contract.ts';

export interface AccountSettings {
  channel: string;
  accountId: string;
  enabled: boolean;
  configured: boolean;
  tokenSource: string;
  /** Why it is not started, for people. */
  problem?: string;
}

/** A target as its platform understands it. */
export interface Target {
  chat: string;
  thread?: string;
  kind: 'dm' | 'group' | 'channel';
}

/** What an account asks of its surroundings. */
export interface AccountPorts {
  store(): StorePort;
  inbound(): InboundPort;
  /** The outbox may go on with the lanes of this account. */
  wakeAccount(channel: string, accountId: string): void;
  wake(lane: string): void;
  onInbound(): void;
  log: Log;
  config(): Config;
  env: Record<string, string | undefined>;
  now(): number;
  random(): number;
}

export interface Channel {
  id: string;
  label: string;
  policy: AccountPolicy;
  accounts(config: Config, env: Record<string, string | undefined>): AccountSettings[];
  /** The transport of one account; loads the channel's library when it starts and not before. */
  link(ports: AccountPorts, accountId: string): AnyActorLogic;
  sender(ports: AccountPorts, accountId: string): Sender;
  /** @throws GatewayError INVALID_REQUEST for a target that cannot be one of this channel. */
  parseTarget(to: string): Target;
  chunk(text: string, config: Config): string[];
  /** What becomes of a row whose sending was cut off by the end of the process. */
  afterCrash: 'queued' | 'unknown';
  retry(config: Config, accountId: string): { attempts: number; minDelayMs: number; maxDelayMs: number; jitter: number };
  /** What follows when nobody can say whether a row of this account arrived. */
  afterUnknown(config: Config, accountId: string): AfterUnknown;
  /** Messages per interval: of the whole account, and of one chat. */
  rate: { account: Rate; chat(chat: string): Rate };
}

/** Asks the person with this text, sends another copy, or leaves it to the operator. */
export type AfterUnknown = { do: 'ask'; text: string } | { do: 'resend' } | { do: 'hold' };

export interface Rate {
  cap: number;
  intervalMs: number;
}
