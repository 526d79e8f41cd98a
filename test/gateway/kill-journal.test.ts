import { afterEach, expect, it } from 'vitest';
import { createRandom, drained, live } from '../support/kill.ts';
import { startTelegramWorld, stored, type TelegramWorld } from '../support/telegram-gateway.ts';

let opened: TelegramWorld | undefined;
afterEach(() => opened?.close());
const seed = Number(process.env['OPENCLAW_KILL_SEED'] ?? 20_261_126);

it('M-052 F-10 has exactly what was sent in its journal after 300 updates and 25 kills', async () => {
  const random = createRandom(seed);
  // Nobody may speak, so each message is one row and nothing else.
  const world = await startTelegramWorld({ channel: { allowFrom: [] } });
  opened = world;
  const { bot, telegram } = world;
  const { home } = world.gateway;
  await world.gateway.kill();
  const ann = bot.person();
  const sent: number[] = [];
  for (let round = 0; round < 25; round += 1) {
    const polls = telegram.callsOf('getUpdates').length;
    await live(home, { ms: 20_000 }, {}, async (gateway) => {
      for (let index = 0; index < 6; index += 1) sent.push(ann.say(`m${sent.length}`).updateId);
      await telegram.until(() => telegram.callsOf('getUpdates').length > polls, 'it asks for updates');
      for (let index = 0; index < 6; index += 1) {
        sent.push(ann.say(`m${sent.length}`).updateId);
        if (random.next() < 0.5) await new Promise((resolve) => setTimeout(resolve, random.between(0, 8)));
      }
      await new Promise((resolve) => setTimeout(resolve, random.between(0, 40)));
      await gateway.kill();
    });
  }
  const gateway = await world.restart();
  await drained(gateway, world);
  await gateway.stop();
  const rows = stored(gateway, 'SELECT * FROM journal ORDER BY id');
  expect(sent).toHaveLength(300);
  expect(
    rows.map((row) => row['dedupe_key']),
    `seed ${seed}`,
  ).toEqual(sent.map((id) => `bot:${bot.id}:update:${id}`));
  expect(new Set(rows.map(({ state }) => state))).toEqual(new Set(['dropped']));
  expect(bot.overlaps).toBe(0);
}, 60_000);
