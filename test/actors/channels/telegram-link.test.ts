/** The account machine with the real poller on a real store, against the fake platform: everything but the gateway around it. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type AnyActorRef, createActor } from 'xstate';
import type { AccountPorts } from '../../../src/actors/channels/channel.ts';
import type { InboundMessage } from '../../../src/actors/channels/contract.ts';
import { telegramPoller } from '../../../src/actors/channels/telegram/poller.ts';
import { StoreError, type StorePort } from '../../../src/actors/store/contract.ts';
import { type AccountSnapshot, channelAccount, telegramPolicy } from '../../../src/machines/channel-account.ts';
import type { ChildSpec } from '../../../src/machines/child-spec.ts';
import { supervisor } from '../../../src/machines/supervisor.ts';
import { parseConfig } from '../../../src/protocol/config/parse.ts';
import { type FakeBot, type FakeTelegram, startTelegram } from '../../fakes/telegram-bot-api/index.ts';
import { createRandom } from '../../support/kill.ts';
import { keptLog } from '../../support/silent-log.ts';
import { startStore } from '../../support/start-store.ts';
import { eventually } from '../../support/telegram-gateway.ts';

let telegram: FakeTelegram;
let bot: FakeBot;
let world: Awaited<ReturnType<typeof startStore>>;
const running: { stop(): unknown }[] = [];

beforeEach(async () => {
  telegram = await startTelegram();
  bot = telegram.addBot();
  world = await startStore();
});
afterEach(async () => {
  for (const actor of running.splice(0)) actor.stop();
  await telegram.close();
  world.kill();
  world.remove();
});

const env = { now: () => Date.now(), random: () => Math.random() };
const systemId = 'channels/telegram:default';

function startAccount({ deliver, store = world.store }: { deliver?: (message: InboundMessage) => Promise<void>; store?: StorePort } = {}) {
  const { config } = parseConfig(
    JSON.stringify({ channels: { telegram: { botToken: bot.token, apiRoot: telegram.url, allowFrom: ['*'] } } }),
    {},
    { home: '/', workspace: '/' },
  );
  const delivered: string[] = [];
  const told: AccountSnapshot[] = [];
  const ports = {
    config: () => config,
    env: {},
    store: () => store,
    inbound: () => ({
      async deliver(message: InboundMessage) {
        await deliver?.(message);
        delivered.push(message.text);
        await world.store.call('journal.mark', { ids: [message.journalId], state: 'handled' });
        return { ended: Promise.resolve() };
      },
      stop: () => Promise.resolve(0),
    }),
    wake: () => {},
    wakeAccount: () => {},
    onInbound: () => {},
    log: keptLog(),
    ...env,
  } as unknown as AccountPorts;
  const spec: ChildSpec = {
    id: 'account',
    systemId,
    logic: channelAccount.provide({ actors: { link: telegramPoller(ports, 'default') as never } }),
    input: {
      env,
      channel: 'telegram',
      accountId: 'default',
      enabled: true,
      configured: true,
      // The same chart, with waits a test can afford.
      policy: { ...telegramPolicy, firstDelayMs: 2, maxDelayMs: 10, conflictMs: 400 },
      onChange: (snapshot: AccountSnapshot) => void told.push(snapshot),
    },
    restart: 'permanent',
    shutdownMs: 2_000,
  };
  const actor = createActor(supervisor, {
    input: {
      env,
      spec: {
        name: 'channels',
        strategy: 'one_for_one',
        intensity: { max: 10_000, withinMs: 60_000 },
        backoff: { initialMs: 1, factor: 1, maxMs: 5, jitter: 0, resetAfterMs: 1 },
        children: [spec],
      },
    },
  });
  running.push(actor);
  actor.start();
  const account = () => actor.system.get(systemId) as AnyActorRef | undefined;
  return { actor, spec, delivered, told, account, state: () => told.at(-1)?.state };
}

const polling = (from: number) => telegram.until(() => telegram.callsOf('getUpdates').length > from, 'it asks for updates');

it('M-050 never has two getUpdates open, over 200 random reloads, losses, crashes and restarts', async () => {
  const seed = 4_711;
  const random = createRandom(seed);
  const ann = bot.person();
  const said: string[] = [];
  let life = startAccount();
  const delivered = [life.delivered];
  const disturbances: Record<string, () => Promise<void> | void> = {
    async reload() {
      life.actor.send({ type: 'child.remove', id: 'account' });
      await eventually(() => life.account() === undefined, 'the account has left');
      life.actor.send({ type: 'child.add', spec: life.spec });
    },
    crash: () =>
      (life.account()?.getSnapshot() as { children?: Record<string, AnyActorRef> })?.children?.['link']?.send({
        type: 'io.crashed',
        error: new Error('x'),
      }),
    kick: () => life.account()?.send({ type: 'channel.kick' }),
    lose: () => void bot.endPoll('cut'),
    page: () => void bot.endPoll({ status: 502, body: '<html>Bad Gateway</html>' }),
    rubbish: () => void bot.endPoll({ status: 200, body: '{"ok":true,"result":"?"}' }),
    // As after a kill: nobody is asked, and the next one starts at once.
    restart() {
      life.actor.stop();
      life = startAccount();
      delivered.push(life.delivered);
    },
    write() {
      said.push(`m${said.length}`);
      ann.say(said.at(-1) ?? '');
    },
  };
  const held = () => telegram.callsOf('getUpdates').filter(({ outcome }) => outcome === undefined).length;
  let disturbed = 0;
  for (let round = 0; round < 200; round += 1) {
    // Mostly while a request is held by the platform, sometimes in the middle of something else.
    if (random.next() < 0.8) await telegram.until(() => held() > 0, 'it asks for updates');
    if (held() > 0) disturbed += 1;
    await disturbances[random.pick(Object.keys(disturbances))]?.();
    if (random.next() < 0.2) await disturbances['write']?.();
    if (random.next() < 0.3) await new Promise((resolve) => setTimeout(resolve, random.between(0, 4)));
  }
  expect(disturbed).toBeGreaterThan(120);
  await telegram.until(() => bot.pending().length === 0, 'all is taken');
  await eventually(async () => {
    const { rows } = await world.store.call('journal.pending', { channel: 'telegram', account: 'default' });
    return rows.length === 0;
  }, 'all is handled');
  expect(bot.overlaps, `seed ${seed}`).toBe(0);
  expect(telegram.callsOf('getUpdates').length).toBeGreaterThan(60);
  // A message may be offered to its conversation twice, which knows it by its row; it is never passed over.
  expect([...new Set(delivered.flat())].sort()).toEqual([...said].sort());
}, 40_000);

it('M-051 is in conflict while another poller takes its updates, and back when that one is gone', async () => {
  const life = startAccount();
  await polling(0);
  let isThere = true;
  // Somebody else with the same token, who asks again as soon as he is sent away.
  const stranger = (async () => {
    while (isThere) await fetch(`${telegram.url}/bot${bot.token}/getUpdates?timeout=30&limit=1`).then((answer) => answer.text());
  })();
  await eventually(() => life.state() === 'conflict', 'it notices');
  expect(life.told.at(-1)?.lastError).toContain('another poller');
  // It comes back and is sent away again, and again, without ever giving up.
  await eventually(() => life.told.filter(({ state }) => state === 'conflict').length >= 3, 'it tries again', 5_000);
  isThere = false;
  bot.person().say('the stranger takes this one');
  await stranger;
  await eventually(() => life.state() === 'online', 'it recovers');
  const polls = telegram.callsOf('getUpdates').length;
  bot.person().say('and this one is ours');
  await eventually(() => life.delivered.includes('and this one is ours'), 'it receives');
  expect(telegram.callsOf('getUpdates').length).toBeGreaterThanOrEqual(polls);
});

it('keeps the order of a chat when a message cannot be taken for a while', async () => {
  let refusals = 3;
  const life = startAccount({
    deliver(message) {
      if (message.text === 'b' && (refusals -= 1) >= 0) return Promise.reject(new StoreError('overloaded', 'too much'));
      return Promise.resolve();
    },
  });
  await polling(0);
  const [ann, ben] = [bot.person(), bot.person()];
  for (const text of ['a', 'b', 'c']) ann.say(text);
  await polling(1);
  for (const text of ['d', 'e']) ann.say(text);
  ben.say('other');
  await eventually(() => life.delivered.length === 6, 'all are delivered');
  expect(life.delivered.filter((text) => text !== 'other')).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(life.delivered.indexOf('other')).toBeLessThan(life.delivered.indexOf('b'));
});

it('ends a message that breaks whoever handles it as failed, and goes on', async () => {
  const life = startAccount({
    deliver: ({ text }) => (text === 'poison' ? Promise.reject(new TypeError('a bug')) : Promise.resolve()),
  });
  await polling(0);
  const ann = bot.person();
  for (const text of ['a', 'poison', 'b']) ann.say(text);
  await eventually(() => life.delivered.length === 2, 'the others are delivered');
  await eventually(
    async () => (await world.store.call('journal.pending', { channel: 'telegram', account: 'default' })).rows.length === 0,
    'all rows have ended',
  );
  expect(life.delivered).toEqual(['a', 'b']);
});

it('takes up 10 000 unfinished messages at its start, each chat in order, before the first new one', async () => {
  const chats = 100;
  for (let from = 0; from < 10_000; from += 2_500) {
    await world.store.call('journal.append', {
      channel: 'telegram',
      account: 'default',
      updates: Array.from({ length: 2_500 }, (_, index) => ({
        dedupeKey: `old:${from + index}`,
        chat: String((from + index) % chats),
        sender: '1',
        ts: 1,
        kind: 'text',
        body: { text: String(from + index), chatType: 'private', isForum: false },
      })),
    });
  }
  bot.person({ id: 3 }).say('new');
  const life = startAccount();
  await eventually(() => life.delivered.length === 10_001, 'all are delivered', 30_000);
  for (let chat = 0; chat < chats; chat += 1) {
    const own = life.delivered.filter((text) => text !== 'new' && Number(text) % chats === chat).map(Number);
    expect(own).toEqual([...own].sort((a, b) => a - b));
  }
  const third = life.delivered.filter((text) => text === 'new' || Number(text) % chats === 3);
  expect(third.at(-1)).toBe('new');
});

it('stops only when its request has ended', async () => {
  const life = startAccount();
  await polling(0);
  life.actor.send({ type: 'gateway.drain' });
  await eventually(() => life.actor.getSnapshot().status === 'done', 'it has stopped', 1_500);
  await telegram.until(() => telegram.callsOf('getUpdates')[0]?.outcome === 'hungUp');
  expect(life.state()).toBe('stopped');
});
