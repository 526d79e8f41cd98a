/**
 * All channels and their accounts, as the rest of the gateway sees them: who is there, in which state, how a message gets
 * out. The only list of channels is here.
 */
import { channelAccount } from '../../machines/channel-account.ts';
import type { ChildSpec, Env, SupervisorSpec } from '../../machines/child-spec.ts';
import type { Config } from '../../protocol/config/types.ts';
import { GatewayError, invalidRequest, unavailable } from '../../protocol/errors.ts';
import type { DmScope } from '../../protocol/session-key.ts';
import type { Log } from '../log.ts';
import { escapeId } from '../sharding.ts';
import type { Address, StorePort } from '../store/contract.ts';
import type { AccountPorts, Channel } from './channel.ts';
import type { AccountState, AccountStatus, InboundPort, Sender } from './contract.ts';
import type { OutboxPort, OutboxPorts } from './outbox.ts';
import { createOutboxMemory } from './outbox-memory.ts';
import { createSend, type SendParams } from './send.ts';
import { telegram } from './telegram/index.ts';

const channels: readonly Channel[] = [telegram];
/** Names clients may use although this release has no such channel: the answer is "not linked", not "unknown". */
const plannedChannels = new Set(['whatsapp']);

export interface ChannelDeskPorts {
  config(): Config;
  env: Record<string, string | undefined>;
  store(): StorePort;
  outbox(): OutboxPort;
  outboxIfUp(): OutboxPort | undefined;
  inbound(): InboundPort;
  now(): number;
  random(): number;
  log: Log;
  onChange(): void;
}

export interface ChannelDesk {
  isKnown(channel: string): boolean;
  dmScope(): DmScope;
  statuses(): AccountStatus[];
  chunk(channel: string, text: string): string[];
  /** @throws GatewayError when channel, account or target cannot be resolved. */
  resolve(params: { to: string; channel?: string; accountId?: string }): { address: Address; kind: 'dm' | 'group' | 'channel' };
  send(params: SendParams): Promise<Record<string, unknown>>;
  outboxPorts(env: Env, offer: (port: OutboxPort) => () => void): OutboxPorts;
  /** The supervisor of all accounts. */
  spec(env: Env): SupervisorSpec;
}

export function createChannelDesk(ports: ChannelDeskPorts): ChannelDesk {
  const statuses = new Map<string, AccountStatus>();
  const senders = new Map<string, Sender>();
  const memory = createOutboxMemory(ports.now);
  const keyOf = (channel: string, accountId: string) => `${channel}:${accountId}`;

  const accountPorts: AccountPorts = {
    ...ports,
    wakeAccount: (channel, accountId) => ports.outboxIfUp()?.wakeAccount(channel, accountId),
    wake: (lane) => ports.outboxIfUp()?.wake(lane),
    onInbound: () => {},
  };

  function online(channelId: string, accountId: string) {
    const channel = channels.find(({ id }) => id === channelId);
    const sender = senders.get(keyOf(channelId, accountId));
    if (channel === undefined || sender === undefined || statuses.get(keyOf(channelId, accountId))?.state !== 'online') return undefined;
    return { channel, sender };
  }

  function pick(name: string | undefined): Channel {
    const wanted = name?.trim().toLowerCase();
    if (!wanted || wanted === 'last') {
      const isWhatsapp = ports.config().channels.whatsapp?.enabled === true;
      const enabled = channels.filter((channel) => channel.accounts(ports.config(), ports.env).some((account) => account.enabled));
      if (!isWhatsapp && enabled.length === 1 && enabled[0]) return enabled[0];
      throw notLinked('whatsapp', 'default');
    }
    if (plannedChannels.has(wanted)) throw notLinked(wanted, 'default');
    const channel = channels.find(({ id }) => id === wanted);
    if (channel === undefined) throw invalidRequest(`unsupported channel: ${wanted}`);
    return channel;
  }

  function resolve({ to, channel: name, accountId }: { to: string; channel?: string; accountId?: string }) {
    const channel = pick(name);
    const accounts = channel.accounts(ports.config(), ports.env);
    const account = accountId
      ? accounts.find((candidate) => candidate.accountId === accountId)
      : (accounts.find(({ accountId: id }) => id === 'default') ?? accounts[0]);
    if (account === undefined)
      throw accountId ? invalidRequest(`unknown account: ${channel.id} has no account ${accountId}`) : notLinked(channel.id, 'default');
    if (!account.configured || !account.enabled) throw notLinked(channel.id, account.accountId);
    const { chat, thread, kind } = channel.parseTarget(to);
    return { address: { channel: channel.id, account: account.accountId, chat, ...(thread === undefined ? {} : { thread }) }, kind };
  }

  const chunk = (id: string, text: string) => channels.find((channel) => channel.id === id)?.chunk(text, ports.config()) ?? [text];

  const send = createSend({
    ...ports,
    resolve: (params) => resolve(params).address,
    chunk,
    checkOnline({ channel, account }) {
      const { state } = statuses.get(keyOf(channel, account)) ?? {};
      if (state === 'unlinked') throw notLinked(channel, account);
      // Nothing is written while nothing can leave: the same key works again once the channel is back.
      if (state !== 'online') throw unavailable(`${channel} is not online (${state ?? 'starting'})`, 2_000);
    },
  });

  return {
    isKnown: (channel) => plannedChannels.has(channel) || channels.some(({ id }) => id === channel),
    dmScope: () => ports.config().session.dmScope,
    statuses: () => [...statuses.values()],
    chunk,
    resolve,
    send,
    outboxPorts: (env, offer) => ({
      env,
      store: ports.store,
      online,
      retry: (id, accountId) =>
        channels.find((channel) => channel.id === id)?.retry(ports.config(), accountId) ?? {
          attempts: 1,
          minDelayMs: 400,
          maxDelayMs: 30_000,
          jitter: 0,
        },
      afterUnknown: (id, accountId) =>
        channels.find((channel) => channel.id === id)?.afterUnknown(ports.config(), accountId) ?? { do: 'hold' },
      memory,
      onlineAccounts: () => [...statuses.values()].filter(({ state }) => state === 'online'),
      onSent(channel, accountId) {
        const status = statuses.get(keyOf(channel, accountId));
        if (status) status.lastOutboundAt = ports.now();
      },
      offer,
      log: ports.log,
    }),
    spec(env) {
      // The configuration may name others than before.
      statuses.clear();
      senders.clear();
      return {
        name: 'channels',
        strategy: 'one_for_one',
        drain: 'together',
        intensity: { max: 10, withinMs: 60_000 },
        exhausted: { coolDownMs: 300_000 },
        children: ports.env['OPENCLAW_SKIP_CHANNELS'] === '1' ? [] : channels.flatMap((channel) => accountSpecs(channel, env)),
      };
    },
  };

  function accountSpecs(channel: Channel, env: Env): ChildSpec[] {
    return channel.accounts(ports.config(), ports.env).map((settings) => {
      const { accountId, enabled, configured, tokenSource, problem } = settings;
      const key = keyOf(channel.id, accountId);
      const log = ports.log.child(`${channel.id}/${accountId}`);
      const own: AccountPorts = {
        ...accountPorts,
        log,
        onInbound() {
          const status = statuses.get(key);
          if (status) status.lastInboundAt = ports.now();
        },
      };
      senders.set(key, channel.sender(own, accountId));
      const reason = problem ? { lastError: problem } : {};
      const base = { channel: channel.id, accountId, configured, tokenSource, mode: 'polling' as const, ...reason };
      statuses.set(key, {
        ...base,
        state: enabled ? 'connecting' : 'disabled',
        epoch: 0,
        since: env.now(),
        attempt: 0,
      });
      return {
        id: `account:${channel.id}:${escapeId(accountId)}`,
        systemId: `channels/${channel.id}:${accountId}`,
        logic: channelAccount.provide({ actors: { link: channel.link(own, accountId) as never } }),
        input: {
          env,
          channel: channel.id,
          accountId,
          enabled,
          configured,
          policy: channel.policy,
          onChange(snapshot: { state: string }) {
            const before = statuses.get(key);
            const status = { ...base, ...keep(before), ...snapshot, state: snapshot.state as AccountState } as AccountStatus;
            statuses.set(key, status);
            if (before?.state !== status.state) {
              const level = status.state === 'conflict' || status.state === 'unlinked' ? 'warn' : 'info';
              log[level](
                { state: status.state, ...(status.lastError ? { reason: status.lastError } : {}) },
                `${channel.label} ${status.state}`,
              );
              ports.onChange();
            }
            if (status.state === 'online' && before?.state !== 'online') ports.outboxIfUp()?.wakeAccount(channel.id, accountId);
          },
        },
        restart: 'permanent',
        shutdownMs: 2_000,
      } satisfies ChildSpec;
    });
  }
}

const keep = (status: AccountStatus | undefined) => ({
  ...(status?.lastInboundAt === undefined ? {} : { lastInboundAt: status.lastInboundAt }),
  ...(status?.lastOutboundAt === undefined ? {} : { lastOutboundAt: status.lastOutboundAt }),
});

const notLinked = (channel: string, accountId: string) =>
  new GatewayError('NOT_LINKED', `${channel} has no linked account`, { details: { channel, accountId } });
