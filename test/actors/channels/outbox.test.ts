import { afterEach, beforeEach, expect, it } from 'vitest';
import { type AnyActorRef, createActor } from 'xstate';
import type { AfterUnknown, AccountPorts } from '../../../src/actors/channels/channel.ts';
import type { Sender } from '../../../src/actors/channels/contract.ts';
import { type OutboxPort, outboxSpec } from '../../../src/actors/channels/outbox.ts';
import { createOutboxMemory } from '../../../src/actors/channels/outbox-memory.ts';
import { telegram as channel } from '../../../src/actors/channels/telegram/index.ts';
import { telegramSender } from '../../../src/actors/channels/telegram/sender.ts';
import { supervisor } from '../../../src/machines/supervisor.ts';
import { parseConfig } from '../../../src/protocol/config/parse.ts';
import { type FakeBot, type FakeChat, type FakeTelegram, startTelegram } from '../../fakes/telegram-bot-api/index.ts';
import { keptLog } from '../../support/silent-log.ts';
import { startStore } from '../../support/start-store.ts';

let telegram: FakeTelegram;
let bot: FakeBot;
let ann: FakeChat;
let world: Awaited<ReturnType<typeof startStore>>;
const running: { stop(): unknown }[] = [];

beforeEach(async () => {
  telegram = await startTelegram();
  bot = telegram.addBot();
  ann = bot.person();
  world = await startStore();
  memory = createOutboxMemory(env.now);
});
afterEach(async () => {
  for (const actor of running.splice(0)) actor.stop();
  world.kill();
  world.remove();
  await telegram.close();
});

const env = { now: () => Date.now(), random: () => 0.5 };
let memory: ReturnType<typeof createOutboxMemory>;

function realSender(): Sender {
  const { config } = parseConfig(
    JSON.stringify({ channels: { telegram: { botToken: bot.token, apiRoot: telegram.url, allowFrom: ['*'] } } }),
    {},
    { home: '/', workspace: '/' },
  );
  return telegramSender({ config: () => config, env: {} } as unknown as AccountPorts, 'default');
}

/** The outbox of a gateway without the gateway: the real lanes on a real store, and the account is what the test says. */
function startOutbox(sender: Sender, after: AfterUnknown = { do: 'hold' }) {
  let port: OutboxPort | undefined;
  const account = { isOnline: true };
  const actor = createActor(supervisor, {
    input: {
      env,
      spec: outboxSpec({
        env,
        memory,
        store: () => world.store,
        online: () => (account.isOnline ? { channel, sender } : undefined),
        onlineAccounts: () => (account.isOnline ? [{ channel: 'telegram', accountId: 'default' }] : []),
        retry: () => ({ attempts: 3, minDelayMs: 50, maxDelayMs: 200, jitter: 0 }),
        afterUnknown: () => after,
        onSent: () => {},
        offer(offered) {
          port = offered;
          return () => {};
        },
        log: keptLog(),
      }),
    },
  });
  running.push(actor);
  actor.start();
  return { actor, account, outbox: port as OutboxPort };
}

async function queue(...keys: string[]) {
  const address = { channel: 'telegram', account: 'default', chat: String(ann.id) };
  const { rows } = await world.store.call('outbox.insert', {
    rows: keys.map((key) => ({ key, address, kind: 'text' as const, payload: { text: key } })),
    now: env.now(),
  });
  return rows[0]?.lane as string;
}
const settled = (outbox: OutboxPort, key: string) => outbox.settled(key, AbortSignal.timeout(10_000));
const rowOf = async (key: string) => (await world.store.call('outbox.get', { key })).row;

/** A sender the test speaks for. */
function heldSender() {
  const calls: { key: string; finish(id: string): void; crash(error: Error): void }[] = [];
  const waiting: (() => void)[] = [];
  const sender: Sender = {
    send: (row) =>
      new Promise((resolve, reject) => {
        calls.push({ key: row.key, finish: (platformId) => resolve({ kind: 'sent', platformId }), crash: reject });
        for (const wake of waiting.splice(0)) wake();
      }),
  };
  return {
    sender,
    calls,
    async call(index: number) {
      while (calls[index] === undefined) await new Promise<void>((resolve) => void waiting.push(resolve));
      return calls[index] as (typeof calls)[number];
    },
  };
}

it('M-060 retries what was refused before a byte was written, and never calls it unknown', async () => {
  await telegram.goDown();
  const { outbox } = startOutbox(realSender());
  const lane = await queue('a');
  outbox.wake(lane);
  // More tries than the policy allows for refusals: a network that is away is nobody's fault.
  for (let tries = 0; tries < 4; ) {
    const row = await rowOf('a');
    expect(['queued', 'sending']).toContain(row?.state);
    tries = row?.attempts ?? 0;
  }
  expect((await rowOf('a'))?.lastError).toBe('ECONNREFUSED');
  await telegram.comeBack();
  expect(await settled(outbox, 'a')).toMatchObject({ state: 'sent' });
  expect(ann.answers()).toEqual(['a']);
});

it('leaves a row alone that is on its way while its account goes and comes back', async () => {
  const { sender, call, calls } = heldSender();
  const { outbox, account } = startOutbox(sender, { do: 'ask', text: 'did it arrive?' });
  outbox.wake(await queue('a', 'b'));
  const first = await call(0);
  account.isOnline = false;
  account.isOnline = true;
  outbox.wakeAccount('telegram', 'default');
  // Whatever the return of the account does to the rows is done once a later verb is answered.
  await world.store.call('outbox.lanes', { channel: 'telegram', account: 'default' });
  await world.store.call('outbox.lanes', { channel: 'telegram', account: 'default' });
  expect((await rowOf('a'))?.state).toBe('sending');
  first.finish('1');
  expect(await settled(outbox, 'a')).toMatchObject({ state: 'sent', platformId: '1' });
  (await call(1)).finish('2');
  await settled(outbox, 'b');
  expect(calls.map(({ key }) => key)).toEqual(['a', 'b']);
  expect(await rowOf('a:ask')).toBeNull();
});

it('settles a row whose sending crashed, and goes on with the lane', async () => {
  const { sender, call } = heldSender();
  const { outbox } = startOutbox(sender);
  outbox.wake(await queue('a', 'b'));
  (await call(0)).crash(new TypeError('a bug'));
  // Nobody knows what the platform saw of it.
  (await call(1)).finish('2');
  expect(await settled(outbox, 'b')).toMatchObject({ state: 'sent' });
  expect(await rowOf('a')).toMatchObject({ state: 'unknown', lastError: 'cut off while sending' });
});

it('goes on by itself when it is restarted under accounts that stay online', async () => {
  const { actor } = startOutbox({ send: () => Promise.resolve({ kind: 'retry', error: 'busy', delayMs: 60_000, counted: false }) });
  await queue('a');
  actor.stop();
  startOutbox(realSender());
  await telegram.until(() => ann.answers().length === 1);
  expect(ann.answers()).toEqual(['a']);
});

it('waits for a call that was begun before its restart, and does not overtake it', async () => {
  const { sender, call, calls } = heldSender();
  const { actor, outbox } = startOutbox(sender);
  outbox.wake(await queue('a', 'b'));
  const first = await call(0);
  actor.stop();
  const again = startOutbox(sender, { do: 'ask', text: 'did it arrive?' });
  await queue('c');
  again.outbox.wakeAccount('telegram', 'default');
  await world.store.call('outbox.lanes', { channel: 'telegram', account: 'default' });
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(calls).toHaveLength(1);
  first.finish('1');
  (await call(1)).finish('2');
  (await call(2)).finish('3');
  await settled(again.outbox, 'c');
  expect(calls.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
  expect(await rowOf('a')).toMatchObject({ state: 'sent', platformId: '1' });
  expect(await rowOf('a:ask')).toBeNull();
});

it('sends another copy of an unknown row where the operator wants each at least once', async () => {
  telegram.fault({ method: 'sendMessage', kind: 'destroyBeforeAnswering', applied: false });
  const { outbox } = startOutbox(realSender(), { do: 'resend' });
  outbox.wake(await queue('a'));
  expect(await settled(outbox, 'a')).toMatchObject({ state: 'sent', attempts: 2 });
  expect(ann.answers()).toEqual(['a']);
});

it('forgets a lane that has run dry', async () => {
  const { actor, outbox } = startOutbox(realSender());
  outbox.wake(await queue('a'));
  await settled(outbox, 'a');
  const lanes = () =>
    Object.values(actor.getSnapshot().children as Record<string, AnyActorRef>).flatMap((shard) =>
      Object.keys((shard.getSnapshot() as { context?: { children: object } }).context?.children ?? {}),
    );
  while (lanes().length > 0) await new Promise((resolve) => setImmediate(resolve));
  expect(outbox.depth()).toBe(0);
});
