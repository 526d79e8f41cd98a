/**
 * The two things a lane does: take the head of its rows, and hand it to the platform and write down what became of it.
 * A row in `sending` whose lane nobody holds was left behind by somebody who is gone, and is settled as the channel says.
 *   claim  reports  row.claimed · row.later · lane.empty
 *   send   reports  row.settled
 */
import type { Env } from '../../machines/child-spec.ts';
import { failPoint, failPointAsync } from '../fail-points.ts';
import { fromIo } from '../io.ts';
import type { Log } from '../log.ts';
import type { OutboxRow, StorePort } from '../store/contract.ts';
import { isOutage, surely } from '../store/patience.ts';
import type { AfterUnknown, Channel } from './channel.ts';
import type { Sender, SendOutcome } from './contract.ts';
import type { OutboxMemory } from './outbox-memory.ts';

export interface OutboxWorkPorts {
  env: Env;
  store(): StorePort;
  /** The sender of an account, as long as it is online. */
  online(channel: string, accountId: string): { channel: Channel; sender: Sender } | undefined;
  retry(channel: string, accountId: string): { attempts: number; minDelayMs: number; maxDelayMs: number; jitter: number };
  afterUnknown(channel: string, accountId: string): AfterUnknown;
  onSent(channel: string, accountId: string): void;
  log: Log;
}

export const settledStates: ReadonlySet<string> = new Set(['sent', 'failed', 'unknown', 'cancelled']);

const sendLimitMs = 60_000;
/** A store that is away comes back or is given up by its supervisor; looking again costs little. */
const storePauseMs = 1_000;
/** Somebody who wants every message at least once does not want one of them for ever. */
const maxResends = 10;

interface Claimed {
  row: OutboxRow;
  release(): void;
}

type Look = { type: 'row.claimed'; rowId: number } | { type: 'row.later'; delayMs: number } | { type: 'lane.empty' };

export function createOutboxWork(ports: OutboxWorkPorts, memory: OutboxMemory, onSettled: (row: OutboxRow) => void) {
  const { env } = ports;
  const claimed = new Map<number, Claimed>();

  const claim = fromIo<{ lane: string }>(({ input, run, report, signal }) => {
    run(async () => {
      try {
        const look = await take(input.lane, signal);
        // The lane was stopped while the claim was on its way: the row goes back as if nothing had happened.
        if (signal.aborted) await giveBack(look);
        else if (look !== undefined) report(look);
      } catch (error) {
        if (!isOutage(error)) throw error;
        report({ type: 'row.later', delayMs: storePauseMs });
      }
    });
  });

  async function giveBack(look: Look | undefined): Promise<void> {
    const taken = look?.type === 'row.claimed' ? claimed.get(look.rowId) : undefined;
    if (taken === undefined) return;
    claimed.delete(taken.row.id);
    try {
      await mark(taken.row, { state: 'queued' });
    } finally {
      taken.release();
    }
  }

  /** `undefined`: the lane was stopped while the look was on its way. */
  async function take(lane: string, signal: AbortSignal): Promise<Look | undefined> {
    const [channelId = '', accountId = '', chat = ''] = lane.split(':');
    const online = ports.online(channelId, accountId);
    // Nothing leaves while the account is away; it wakes its lanes when it is back.
    if (online === undefined) return { type: 'lane.empty' };
    const { at } = await ports.store().call('outbox.due', { lane });
    if (at === null) return { type: 'lane.empty' };
    const wait = Math.max(at - env.now(), memory.delayOf(lane, online.channel.rate.chat(chat)));
    if (wait > 0) return { type: 'row.later', delayMs: wait };
    // A call begun before a restart of the outbox may still be on its way to the platform. Not within the account's rate:
    // one lane that waits may not hold up the others.
    await memory.free(lane);
    return memory.paced(`${channelId}:${accountId}`, online.channel.rate.account, async () =>
      signal.aborted ? undefined : claimHead(lane, online.channel, accountId),
    );
  }

  async function claimHead(lane: string, channel: Channel, accountId: string): Promise<Look> {
    const release = memory.hold(lane);
    let isHandedOver = false;
    try {
      const { row, nextAt, stuck } = await ports.store().call('outbox.claim', { lane, now: env.now() });
      if (stuck === true) {
        await recover(channel, accountId, lane);
        return { type: 'row.later', delayMs: 0 };
      }
      if (row === null) return nextAt === null ? { type: 'lane.empty' } : { type: 'row.later', delayMs: Math.max(1, nextAt - env.now()) };
      isHandedOver = true;
      claimed.set(row.id, { row, release });
      return { type: 'row.claimed', rowId: row.id };
    } finally {
      if (!isHandedOver) release();
    }
  }

  const send = fromIo<{ lane: string; rowId: number }>(({ input, run, report }) => {
    run(async () => {
      const taken = claimed.get(input.rowId);
      claimed.delete(input.rowId);
      if (taken === undefined) return report({ type: 'row.settled' });
      try {
        await deliver(taken.row);
      } finally {
        taken.release();
      }
      report({ type: 'row.settled' });
    });
  });

  async function deliver(row: OutboxRow): Promise<void> {
    await failPointAsync('outbox.claimed');
    const { channel, account } = row.address;
    const online = ports.online(channel, account);
    // The signal is the row's own: a lane that is stopped may not cut off what has been handed over.
    const outcome: SendOutcome = online
      ? await online.sender.send(row, AbortSignal.timeout(sendLimitMs))
      : { kind: 'retry', error: 'the account went offline', counted: false };
    await failPointAsync('outbox.sent');
    const settledRow = await write(row, outcome);
    failPoint('outbox.confirmed');
    if (settledRow.state === 'sent') ports.onSent(channel, account);
    if (outcome.kind !== 'retry') memory.noteSent(row.lane);
    if (settledStates.has(settledRow.state)) onSettled(settledRow);
  }

  /** The platform has spoken: what it said is written down, however long the store takes. */
  const mark = async (
    row: OutboxRow,
    more: { state: OutboxRow['state']; nextAt?: number; platformId?: string; error?: string; plain?: true; ask?: string },
  ) => {
    const { plain, ...rest } = more;
    const payload = plain === true ? { payload: { ...row.payload, plain } } : {};
    return (await surely(() => ports.store().call('outbox.mark', { id: row.id, now: env.now(), ...rest, ...payload }))).row;
  };

  async function write(row: OutboxRow, outcome: SendOutcome): Promise<OutboxRow> {
    if (outcome.kind === 'sent') return mark(row, { state: 'sent', platformId: outcome.platformId });
    const { error } = outcome;
    const policy = ports.retry(row.address.channel, row.address.account);
    const data = { key: row.key.slice(0, 80), lane: row.lane, attempts: row.attempts, error };
    if (outcome.kind === 'retry' && (!outcome.counted || row.attempts < policy.attempts || outcome.plain === true)) {
      const delayMs = outcome.delayMs ?? retryDelay(row.attempts, policy, env.random);
      ports.log.warn({ ...data, retryInMs: delayMs }, 'message will be sent again');
      return mark(row, { state: 'queued', nextAt: env.now() + delayMs, error, ...(outcome.plain === true ? { plain: true } : {}) });
    }
    ports.log.warn(data, outcome.kind === 'unknown' ? 'nobody can say whether a message arrived' : 'message was refused');
    if (outcome.kind !== 'unknown') return mark(row, { state: 'failed', error });
    const plan = ports.afterUnknown(row.address.channel, row.address.account);
    if (plan.do === 'resend' && row.attempts < maxResends)
      return mark(row, { state: 'queued', nextAt: env.now() + retryDelay(row.attempts, policy, env.random), error });
    // The question is committed with the state that raises it: a kill in between would leave nobody asked.
    return mark(row, { state: 'unknown', error, ...(plan.do === 'ask' ? { ask: plan.text } : {}) });
  }

  /** Settles what somebody who is gone left in `sending`. `own`: a lane that is held by whoever asks. */
  async function recover(channel: Channel, account: string, own?: string): Promise<void> {
    const plan = ports.afterUnknown(channel.id, account);
    const { rows } = await ports.store().call('outbox.recover', {
      channel: channel.id,
      account,
      to: plan.do === 'resend' ? 'queued' : channel.afterCrash,
      now: env.now(),
      except: memory.held().filter((lane) => lane !== own),
      ...(plan.do === 'ask' ? { ask: plan.text } : {}),
    });
    for (const row of rows) if (settledStates.has(row.state)) onSettled(row);
  }

  return { claim, send, recover };
}

/** `min × 2^(n−1)` within the bounds, give or take the jitter (channels.md 3.6). */
function retryDelay(attempt: number, policy: ReturnType<OutboxWorkPorts['retry']>, random: () => number): number {
  const { minDelayMs, maxDelayMs, jitter } = policy;
  const base = Math.min(maxDelayMs, minDelayMs * 2 ** Math.min(20, Math.max(0, attempt - 1)));
  return Math.round(base * (1 + jitter * (2 * random() - 1)));
}
