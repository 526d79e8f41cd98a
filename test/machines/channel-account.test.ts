import { expect, it } from 'vitest';
import { createActor, fromCallback } from 'xstate';
import {
  accountDelay,
  type AccountSnapshot,
  channelAccount,
  type ChannelAccountEvent,
  telegramPolicy,
} from '../../src/machines/channel-account.ts';
import { createVirtualClock } from '../support/virtual-clock.ts';

const opened = { type: 'link.opened', identity: { id: '7', name: 'bot' } } as const;
const lost = { type: 'link.closed', reason: 'lost', detail: 'ECONNRESET' } as const;
const conflict = { type: 'link.closed', reason: 'conflict', detail: 'another poller' } as const;
const refused = { type: 'link.closed', reason: 'refused', detail: '401' } as const;
const drain = { type: 'gateway.drain' } as const;

/** An account on a virtual clock whose link is silent: the test speaks for it. `onStop`: what the link does when it is asked to stop. */
function startAccount(more: { enabled?: boolean; configured?: boolean; maxAttempts?: number; onStop?: 'answer' | 'ignore' } = {}) {
  const clock = createVirtualClock(1_000_000);
  const told: AccountSnapshot[] = [];
  const starts: number[] = [];
  const asked: string[] = [];
  let live = 0;
  let mostLive = 0;
  const link = fromCallback<{ type: string }, { epoch: number }>(({ input, receive, sendBack }) => {
    starts.push(clock.now());
    live += 1;
    mostLive = Math.max(mostLive, live);
    receive((event) => {
      if (event.type === 'crash') throw new Error('a bug of the link');
      asked.push(`${event.type} ${input.epoch}`);
      if (more.onStop !== 'ignore') sendBack({ type: 'link.ended' });
    });
    return () => {
      live -= 1;
    };
  });
  const actor = createActor(channelAccount.provide({ actors: { link: link as never } }), {
    clock,
    input: {
      env: { now: clock.now, random: () => 0 },
      channel: 'telegram',
      accountId: 'default',
      enabled: more.enabled ?? true,
      configured: more.configured ?? true,
      policy: { ...telegramPolicy, maxAttempts: more.maxAttempts ?? 0 },
      onChange: (snapshot) => void told.push(snapshot),
    },
  });
  const failures: unknown[] = [];
  actor.subscribe({ error: (error) => void failures.push(error) });
  actor.start();
  return { actor, clock, told, starts, asked, failures, mostLive: () => mostLive, live: () => live, last: () => told.at(-1) };
}

it.each<[story: string, more: object, events: ChannelAccountEvent[], state: unknown, told: string]>([
  ['is disabled when the config says so', { enabled: false }, [], 'disabled', 'disabled'],
  ['is unconfigured without a token', { configured: false }, [], 'unconfigured', 'unconfigured'],
  ['connects otherwise', {}, [], { linked: 'connecting' }, 'connecting'],
  ['is online once its link has proved itself', {}, [opened], { linked: 'online' }, 'online'],
  ['backs off when the link is lost', {}, [opened, lost], 'backingOff', 'backingOff'],
  ['backs off when it could not be opened', {}, [lost], 'backingOff', 'backingOff'],
  ['waits out another poller', {}, [opened, conflict], 'conflict', 'conflict'],
  ['leaves a refused token to the operator', {}, [refused], 'unlinked', 'unlinked'],
  ['is degraded when its attempts are used up', { maxAttempts: 1 }, [lost, { type: 'channel.kick' }, lost], 'degraded', 'degraded'],
  ['tries again at once when it is kicked', {}, [opened, lost, { type: 'channel.kick' }], { linked: 'connecting' }, 'connecting'],
  ['stops when its link has ended', {}, [opened, drain], 'stopped', 'stopped'],
  ['stops at once while it waits', {}, [lost, drain], 'stopped', 'stopped'],
  ['stops at once when it is unlinked', {}, [refused, drain], 'stopped', 'stopped'],
  ['stops while it connects', {}, [drain], 'stopped', 'stopped'],
  ['takes a loss on the way out for the end', { onStop: 'ignore' }, [opened, drain, lost], 'stopped', 'stopped'],
  [
    'is asked to stop once, however often the gateway says so',
    { onStop: 'ignore' },
    [opened, drain, drain],
    { linked: 'stopping' },
    'stopping',
  ],
])('%s', (_story, more, events, state, told) => {
  const { actor, last } = startAccount(more);
  for (const event of events) actor.send(event);
  expect(actor.getSnapshot().value).toEqual(state);
  expect(last()?.state).toBe(told);
});

it('waits longer each time the link flaps, and forgets that only after a steady minute', () => {
  const { actor, clock } = startAccount();
  for (const delay of [2_000, 3_600, 6_480, 11_664, 20_995, 30_000, 30_000]) {
    actor.send(opened);
    actor.send(lost);
    clock.advance(delay - 1);
    expect(actor.getSnapshot().value).toBe('backingOff');
    clock.advance(1);
    expect(actor.getSnapshot().value).toEqual({ linked: 'connecting' });
  }
  actor.send(opened);
  clock.advance(60_000);
  actor.send(lost);
  clock.advance(2_000);
  expect(actor.getSnapshot().value).toEqual({ linked: 'connecting' });
});

it('draws its jitter from above and never past the longest delay', () => {
  expect(accountDelay(1, telegramPolicy, () => 1)).toBe(2_500);
  expect(accountDelay(5_000, telegramPolicy, () => 1)).toBe(30_000);
});

it('waits as long as the platform asks, once', () => {
  const { actor, clock } = startAccount();
  actor.send({ ...lost, retryAfterMs: 9_000 });
  clock.advance(8_999);
  expect(actor.getSnapshot().value).toBe('backingOff');
  clock.advance(1);
  expect(actor.getSnapshot().value).toEqual({ linked: 'connecting' });
  actor.send(lost);
  clock.advance(3_600);
  expect(actor.getSnapshot().value).toEqual({ linked: 'connecting' });
});

it('M-051 tries at most twice a minute against another poller, for ever, and recovers when it leaves', () => {
  const { actor, clock, starts } = startAccount();
  const until = clock.now() + 24 * 3_600_000;
  while (clock.now() < until) {
    actor.send(opened);
    actor.send(conflict);
    expect(actor.getSnapshot().value).toBe('conflict');
    clock.advance(35_000);
  }
  for (const start of starts) expect(starts.filter((at) => at >= start && at < start + 60_000).length).toBeLessThanOrEqual(2);
  actor.send(opened);
  expect(actor.getSnapshot().value).toEqual({ linked: 'online' });
});

it('M-054 makes no call after a refused token, however long it waits', () => {
  const { actor, clock, starts } = startAccount();
  actor.send(refused);
  clock.advance(7 * 24 * 3_600_000);
  expect(starts).toHaveLength(1);
  expect(clock.pending).toBe(0);
  expect(actor.getSnapshot().value).toBe('unlinked');
});

it('gives up a transport that does not open within a minute', () => {
  const { actor, clock, last, live } = startAccount();
  clock.advance(60_000);
  expect(actor.getSnapshot().value).toBe('backingOff');
  expect(last()?.lastError).toContain('did not open');
  expect(live()).toBe(0);
});

it('waits for the end of its transport, and not for ever', () => {
  const { actor, clock, asked, live } = startAccount({ onStop: 'ignore' });
  actor.send(opened);
  actor.send(drain);
  expect(asked).toEqual(['link.stop 1']);
  clock.advance(1_799);
  expect(actor.getSnapshot().status).toBe('active');
  clock.advance(1);
  expect(actor.getSnapshot().status).toBe('done');
  expect(live()).toBe(0);
});

it('never has two links, and each has an epoch of its own', () => {
  const { actor, clock, mostLive, told } = startAccount();
  for (let round = 0; round < 20; round += 1) {
    actor.send(opened);
    actor.send([lost, conflict][round % 2] ?? lost);
    actor.send({ type: 'channel.kick' });
    clock.advance(40_000);
  }
  expect(mostLive()).toBe(1);
  const epochs = told.filter(({ state }) => state === 'connecting').map(({ epoch }) => epoch);
  expect(new Set(epochs).size).toBe(epochs.length);
});

it('tells what it knows: since when, how fresh the evidence is, and why not', () => {
  const { actor, clock, last } = startAccount();
  clock.advance(500);
  actor.send(opened);
  expect(last()).toMatchObject({ state: 'online', since: 1_000_500, identity: { id: '7' }, lastTransportAt: 1_000_500 });
  clock.advance(30_000);
  actor.send({ type: 'link.active' });
  expect(last()).toMatchObject({ state: 'online', since: 1_000_500, lastTransportAt: 1_030_500 });
  actor.send(lost);
  expect(last()).toMatchObject({ state: 'backingOff', attempt: 1, lastError: 'ECONNRESET' });
});

it('fails when its link has a bug, and says so before it is gone', () => {
  const { actor, failures, last } = startAccount();
  actor.send(opened);
  (actor.getSnapshot().children['link'] as unknown as { send(event: { type: string }): void }).send({ type: 'crash' });
  expect(last()).toMatchObject({ state: 'backingOff', lastError: 'a bug of the link' });
  expect(actor.getSnapshot().status).toBe('error');
  expect(String(failures[0])).toContain('telegram:default crashed');
});
