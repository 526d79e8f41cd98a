/**
 * Sends what is in the outbox: one lane per chat while it has rows and its account is online. Which row, when and in which
 * order is decided by the lanes and the store; here the lanes are made, woken and waited for.
 */
import type { AnyActorRef } from 'xstate';
import type { ChildSpec, Env, SupervisorSpec } from '../../machines/child-spec.ts';
import { outboxLane } from '../../machines/outbox-lane.ts';
import { supervisor } from '../../machines/supervisor.ts';
import { fromIo } from '../io.ts';
import { escapeId, shardIndex } from '../sharding.ts';
import type { OutboxRow } from '../store/contract.ts';
import { surely } from '../store/patience.ts';
import type { OutboxMemory } from './outbox-memory.ts';
import { createOutboxWork, type OutboxWorkPorts, settledStates } from './outbox-work.ts';

export interface OutboxPort {
  wake(lane: string): void;
  /** The account came online: what was cut off is settled, what waits goes on. */
  wakeAccount(channel: string, accountId: string): void;
  /** The row with this key once it is settled; `undefined` when the signal fires first. */
  settled(key: string, signal: AbortSignal): Promise<OutboxRow | undefined>;
  /** Lanes at work. */
  depth(): number;
}

export interface OutboxPorts extends OutboxWorkPorts {
  memory: OutboxMemory;
  /** Accounts that are online already when the outbox starts. */
  onlineAccounts(): { channel: string; accountId: string }[];
  offer(port: OutboxPort): () => void;
}

const shardCount = 8;

export function outboxSpec(ports: OutboxPorts): SupervisorSpec {
  const { env, memory } = ports;
  const waiters = new Map<string, Set<(row: OutboxRow) => void>>();
  const lanesAtWork = new Set<string>();

  const { claim, send, recover } = createOutboxWork(ports, memory, (row) => {
    for (const resolve of waiters.get(row.key) ?? []) resolve(row);
    waiters.delete(row.key);
  });

  /** Listens before it looks: nothing can be settled in between. */
  async function settled(key: string, signal: AbortSignal): Promise<OutboxRow | undefined> {
    const { promise, resolve } = Promise.withResolvers<OutboxRow | undefined>();
    const waiting = waiters.get(key) ?? new Set();
    waiters.set(key, waiting);
    waiting.add(resolve);
    const giveUp = () => resolve(undefined);
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      const { row } = await ports.store().call('outbox.get', { key });
      return row !== null && settledStates.has(row.state) ? row : await promise;
    } finally {
      signal.removeEventListener('abort', giveUp);
      waiting.delete(resolve);
      if (waiting.size === 0 && waiters.get(key) === waiting) waiters.delete(key);
    }
  }

  const desk = fromIo<unknown>(({ self, guard, run }) => {
    const { system } = self;
    const parent = (self as unknown as { _parent: AnyActorRef })._parent;
    const logic = outboxLane.provide({ actors: { claim, send } });

    const wake = guard((lane: string) => {
      const systemId = `outbox/${lane}`;
      const existing = system.get(systemId) as AnyActorRef | undefined;
      if (existing) return existing.send({ type: 'lane.wake' });
      const shardId = `shard:${shardIndex(lane, shardCount)}`;
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

    const wakeAccount = (channelId: string, account: string) =>
      run(async () => {
        const online = ports.online(channelId, account);
        if (online === undefined) return;
        await surely(() => recover(online.channel, account));
        const { lanes } = await surely(() => ports.store().call('outbox.lanes', { channel: channelId, account }));
        for (const { lane } of lanes) wake(lane);
      });

    const withdraw = ports.offer({
      wake,
      wakeAccount,
      settled,
      depth: () => {
        for (const lane of lanesAtWork) if (system.get(`outbox/${lane}`) === undefined) lanesAtWork.delete(lane);
        return lanesAtWork.size;
      },
    });
    // Accounts outlive the outbox when a part of the core is restarted: they do not come online again to wake it.
    for (const { channel, accountId } of ports.onlineAccounts()) wakeAccount(channel, accountId);
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
      // A lane that fails over and over rests; it takes neither its neighbours nor the gateway along.
      exhausted: { coolDownMs: 30_000 },
      children: [],
    } satisfies SupervisorSpec,
    env,
  },
  restart: 'permanent',
  shutdownMs: 2_500,
});
