/** Polite ends: what is with the platform is waited for, what is not stays in the store, and nobody hears anything twice. */
import { afterEach, expect, it } from 'vitest';
import { eventually, startTelegramWorld, stored, type TelegramWorld } from '../support/telegram-gateway.ts';

let world: TelegramWorld | undefined;
afterEach(() => world?.close());

async function busyWorld() {
  const here = (world = await startTelegramWorld());
  const { telegram, bot } = here;
  // Slow enough that some replies are on their way when the end comes, and quick enough to be waited for.
  telegram.fault({ method: 'sendMessage', kind: 'late', delayMs: 300, times: Number.POSITIVE_INFINITY });
  const chats = Array.from({ length: 5 }, () => bot.person());
  for (const chat of chats) for (const text of ['a', 'b']) chat.say(text);
  await telegram.until(() => telegram.callsOf('sendMessage').length >= 3, 'replies are on their way');
  return { here, telegram, bot, chats };
}
const everything = ['you said: a', 'you said: b'];

it('delivers each of ten replies before a stop ends, or keeps it queued for the next start', async () => {
  const { here, telegram, bot, chats } = await busyWorld();
  expect(await here.gateway.stop()).toEqual({ code: 0, signal: null });
  const rows = stored(here.gateway, 'SELECT state FROM outbox');
  expect(rows.every(({ state }) => state === 'sent' || state === 'queued')).toBe(true);
  expect(rows.filter(({ state }) => state === 'sent')).toHaveLength(chats.flatMap((chat) => chat.answers()).length);
  // It left the platform before it left: no request of ours is open any more.
  await telegram.until(() => telegram.calls.every(({ outcome }) => outcome !== undefined), 'every request has ended', 1_000);
  telegram.noFaults();
  await here.restart();
  await telegram.until(() => chats.every((chat) => chat.answers().length === 2), 'the rest arrives');
  for (const chat of chats) expect(chat.answers()).toEqual(everything);
  expect(bot.overlaps).toBe(0);
});

it('goes through soft restarts in the middle of everything without a loss, a double, or two polls at once', async () => {
  const { here, telegram, bot, chats } = await busyWorld();
  for (let round = 0; round < 3; round += 1) {
    const before = (here.gateway.stdout().match(/ready again/g) ?? []).length;
    here.gateway.signal('SIGUSR1');
    for (const chat of chats) chat.say(`during ${round}`);
    await eventually(() => (here.gateway.stdout().match(/ready again/g) ?? []).length > before, 'it is ready again');
  }
  telegram.noFaults();
  await telegram.until(() => chats.every((chat) => chat.answers().length === 5), 'all replies arrive');
  for (const chat of chats)
    expect(chat.answers()).toEqual([...everything, 'you said: during 0', 'you said: during 1', 'you said: during 2']);
  await eventually(() => stored(here.gateway, 'SELECT state FROM outbox').every(({ state }) => state === 'sent'), 'every row is sent');
  expect(stored(here.gateway, 'SELECT state FROM journal').map(({ state }) => state)).toEqual(Array.from({ length: 25 }, () => 'handled'));
  expect(bot.overlaps).toBe(0);
});
