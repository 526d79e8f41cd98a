/**
 * Sends what is in the outbox: one lane per chat while it has rows and its account is online. Which row, when and in which
 * order is decided by the lanes and the store; here are the looks into the store, the platform call and its outcome.
 */
import PQueue from 'p-queue';
import type { AnyActorRef } from 'xstate';
import type { ChildSpec, Env, SupervisorSpec } from '../../machines/child-spec.ts';
import { outboxLane } from '../../machines/outbox-lane.ts';
import { supervisor } from '../../machines/supervisor.ts';
import { failPoint } from '../fail-points.ts';
import { fromIo } from '../io.ts';
import type { Log } from '../log.ts';
import type { OutboxRow, StorePort } from '../store/contract.ts';
import type { Channel, Rate } from './channel.ts';
import type { Sender, SendOutcome } from './contract.ts';

export interface OutboxPort {
  wake(lane: string): void;
  /** The account came online: what was cut off is settled, what waits goes on. */
  wakeAccount(channel: string, accountId: string): void;
  /** The row with this key once it is settled; `undefined` when the signal fires first. */
  settled(key: string, signal: AbortSignal): Promise<OutboxRow | undefined>;
  /** Lanes at work. */
  depth(): number;
}

export interface OutboxPorts {
  env: Env;
  store(): StorePort;
  /** The sender of an account, as long as it is online. */
  online(channel: string, accountId: string): { channel: Channel; sender: Sender } | undefined;
  retry(channel: string, accountId: string): { attempts: number; minDelayMs: number; maxDelayMs: number; jitter: number };
  askAbout(channel: string, row: OutboxRow): string | undefined;
  onSent(channel: string, accountId: string): void;
  offer(port: OutboxPort): () => void;
  log: Log;
}

const shardCount = 8;
const sendLimitMs = 60_000;
const settledStates = new Set(['sent', 'failed', 'unknown', 'cancelled']);

export function outboxSpec(ports: OutboxPorts): SupervisorSpec {
  const { env } = ports;
  const rows = new Map<number, OutboxRow>();
  const waiters = new Map<string, Set<(row: OutboxRow) => void>>();
  const limiter = createLimiter(env.now);
  const lanesAtWork = new Set<string>();

  function settle(row: OutboxRow) {
    for (const resolve of waiters.get(row.key) ?? []) resolve(row);
    waiters.delete(row.key);
  }

  const claim = fromIo<{ lane: string }>(({ input, run, report, signal }) => {
    run(async () => {
      const [channelId = '', accountId = ''] = input.lane.split(':');
      const online = ports.online(channelId, accountId);
      // Nothing leaves while the account is away; it wakes its lanes when it is back.
      if (online === undefined) return report({ type: 'lane.empty' });
      const wait = limiter.delayOf(input.lane, online.channel.rate.chat(chatOf(input.lane)));
      if (wait > 0) return report({ type: 'row.later', delayMs: wait });
      const { row, nextAt } = await limiter.account(`${channelId}:${accountId}`, online.channel.rate.account, () =>
        ports.store().call('outbox.claim', { lane: input.lane, now: env.now() }),
      );
      if (row !== null) rows.set(row.id, row);
      // The lane was stopped while the claim was on its way: the row goes back as if nothing had happened.
      if (signal.aborted && row !== null) return void ports.store().call('outbox.mark', { id: row.id, state: 'queued', now: env.now() });
      if (row !== null) return report({ type: 'row.claimed', rowId: row.id });
      report(nextAt === null ? { type: 'lane.empty' } : { type: 'row.later', delayMs: Math.max(1, nextAt - env.now()) });
    });
  });

  const send = fromIo<{ lane: string; rowId: number }>(({ input, run, report }) => {
    run(async () => {
      const row = rows.get(input.rowId);
      rows.delete(input.rowId);
      if (row === undefined) return report({ type: 'row.settled' });
      failPoint('outbox.claimed');
      const { channel, account } = row.address;
      const online = ports.online(channel, account);
      // The signal is the row's own: a lane that is stopped may not cut off what has been handed over.
      const outcome: SendOutcome = online
        ? await online.sender.send(row, AbortSignal.timeout(sendLimitMs))
        : { kind: 'retry', error: 'the account went offline', counted: false };
      failPoint('outbox.sent');
      const settledRow = await write(row, outcome);
      failPoint('outbox.confirmed');
      if (settledRow.state === 'sent') ports.onSent(channel, account);
      if (outcome.kind !== 'retry') limiter.note(input.lane);
      if (settledStates.has(settledRow.state)) settle(settledRow);
      report({ type: 'row.settled' });
    });
  });

  async function write(row: OutboxRow, outcome: SendOutcome): Promise<OutboxRow> {
    const store = ports.store();
    const now = env.now();
    const { channel, account } = row.address;
    if (outcome.kind === 'sent')
      return (await store.call('outbox.mark', { id: row.id, state: 'sent', now, platformId: outcome.platformId })).row;
    const data = { key: row.key.slice(0, 80), lane: row.lane, attempts: row.attempts, error: outcome.error };
    if (outcome.kind === 'retry') {
      const policy = ports.retry(channel, account);
      if (!outcome.counted || row.attempts < policy.attempts || outcome.plain === true) {
        const nextAt = now + (outcome.delayMs ?? retryDelay(row.attempts, policy, env.random));
        ports.log.warn({ ...data, retryInMs: nextAt - now }, 'message will be sent again');
        const payload = outcome.plain === true ? { payload: { ...row.payload, plain: true } } : {};
        return (await store.call('outbox.mark', { id: row.id, state: 'queued', now, nextAt, error: outcome.error, ...payload })).row;
      }
    }
    ports.log.warn(data, outcome.kind === 'unknown' ? 'nobody can say whether a message arrived' : 'message was refused');
    const state = outcome.kind === 'unknown' ? 'unknown' : 'failed';
    const marked = (await store.call('outbox.mark', { id: row.id, state, now, error: outcome.error })).row;
    if (state === 'unknown') await offerResend(marked);
    return marked;
  }

  /** A row of its own, so that the offer is sent once and never about itself. */
  async function offerResend(row: OutboxRow) {
    const text = row.key.endsWith(':ask') ? undefined : ports.askAbout(row.address.channel, row);
    if (text === undefined) return;
    const { replyTo: _replyTo, ...address } = row.address;
    await ports
      .store()
      .call('outbox.insert', { rows: [{ key: `${row.key}:ask`, address, kind: 'text', payload: { text } }], now: env.now() });
  }

  const desk = fromIo<unknown>(({ self, guard, run }) => {
    const { system } = self;
    const parent = (self as unknown as { _parent: AnyActorRef })._parent;
    const logic = outboxLane.provide({ actors: { claim, send } });

    const wake = guard((lane: string) => {
      const systemId = `outbox/${lane}`;
      const existing = system.get(systemId) as AnyActorRef | undefined;
      if (existing) return existing.send({ type: 'lane.wake' });
      const shardId = `shard:${hash(lane) % shardCount}`;
      const shardSystemId = `outbox/${shardId}`;
      if (system.get(shardSystemId) === undefined) parent.send({ type: 'child.add', spec: shardSpec(shardId, shardSystemId, env) });
      (system.get(shardSystemId) as AnyActorRef | undefined)?.send({
        type: 'child.add',
        spec: {
          id: `lane:${escapeId(lane)}`,
          systemId,
          logic,
          input: { lane },
          restart: 'transient',
          shutdownMs: 2_000,
        } satisfies ChildSpec,
      });
      lanesAtWork.add(lane);
    });

    const withdraw = ports.offer({
      wake,
      wakeAccount(channel, accountId) {
        run(async () => {
          const online = ports.online(channel, accountId);
          if (online === undefined) return;
          const store = ports.store();
          const cut = await store.call('outbox.recover', { channel, account: accountId, to: online.channel.afterCrash, now: env.now() });
          for (const row of cut.rows) {
            if (row.state === 'unknown') await offerResend(row);
            if (settledStates.has(row.state)) settle(row);
          }
          const { lanes } = await store.call('outbox.lanes', { channel, account: accountId });
          for (const { lane } of lanes) wake(lane);
        });
      },
      async settled(key, signal) {
        const { row } = await ports.store().call('outbox.get', { key });
        if (row !== null && settledStates.has(row.state)) return row;
        return new Promise((resolve) => {
          const waiting = waiters.get(key) ?? new Set();
          waiters.set(key, waiting);
          waiting.add(resolve);
          signal.addEventListener(
            'abort',
            () => {
              waiting.delete(resolve);
              resolve(undefined);
            },
            { once: true },
          );
        });
      },
      depth: () => {
        for (const lane of lanesAtWork) if (system.get(`outbox/${lane}`) === undefined) lanesAtWork.delete(lane);
        return lanesAtWork.size;
      },
    });
    return withdraw;
  });

  return {
    name: 'outbox',
    strategy: 'one_for_all',
    drain: 'together',
    intensity: { max: 5, withinMs: 60_000 },
    children: [{ id: 'desk', logic: desk, restart: 'permanent', shutdownMs: 0 }],
  };
}

const shardSpec = (id: string, systemId: string, env: Env): ChildSpec => ({
  id,
  systemId,
  logic: supervisor,
  input: {
    spec: {
      name: id,
      strategy: 'one_for_one',
      drain: 'together',
      intensity: { max: 20, withinMs: 60_000 },
      children: [],
    } satisfies SupervisorSpec,
    env,
  },
  restart: 'permanent',
  shutdownMs: 2_500,
});

const chatOf = (lane: string) => lane.split(':')[2] ?? '';
const escapeId = (text: string) => text.replaceAll('%', '%25').replaceAll('.', '%2E').replaceAll('@', '%40');

/** `min × 2^(n−1)` within the bounds, give or take the jitter (channels.md 3.6). */
function retryDelay(attempt: number, { minDelayMs, maxDelayMs, jitter }: ReturnType<OutboxPorts['retry']>, random: () => number): number {
  const base = Math.min(maxDelayMs, minDelayMs * 2 ** Math.min(20, Math.max(0, attempt - 1)));
  return Math.round(base * (1 + jitter * (2 * random() - 1)));
}

/** Keeps a chat and an account within the rate of their platform. A chat that waits holds nobody else up. */
function createLimiter(now: () => number) {
  const sentAt = new Map<string, number[]>();
  const accounts = new Map<string, PQueue>();
  const maxLanes = 5_000;
  return {
    delayOf(lane: string, { cap, intervalMs }: Rate): number {
      const recent = (sentAt.get(lane) ?? []).filter((at) => now() - at < intervalMs);
      return recent.length < cap ? 0 : intervalMs - (now() - (recent.at(-cap) ?? now()));
    },
    note(lane: string) {
      const recent = [...(sentAt.get(lane) ?? []), now()].slice(-20);
      sentAt.delete(lane);
      sentAt.set(lane, recent);
      for (const oldest of sentAt.keys()) {
        if (sentAt.size <= maxLanes) break;
        sentAt.delete(oldest);
      }
    },
    account<T>(key: string, { cap, intervalMs }: Rate, work: () => Promise<T>): Promise<T> {
      let queue = accounts.get(key);
      if (queue === undefined) {
        queue = new PQueue({ concurrency: cap, intervalCap: cap, interval: intervalMs });
        accounts.set(key, queue);
      }
      return queue.add(work);
    },
  };
}

function hash(text: string): number {
  let value = 0;
  for (let index = 0; index < text.length; index += 1) value = (Math.imul(value, 31) + text.charCodeAt(index)) >>> 0;
  return value;
}
