/** A commit that fails once, wherever it falls: nobody may be left without an answer, and nobody may get two. */
import { afterEach, expect, it } from 'vitest';
import { eventually, startTelegramWorld, stored, type TelegramWorld } from '../support/telegram-gateway.ts';

let world: TelegramWorld | undefined;
afterEach(() => world?.close());

it('answers each message once although a commit fails on its way, at any point of it', async () => {
  const here = (world = await startTelegramWorld());
  const { telegram, bot } = here;
  await here.gateway.kill();
  for (const commit of [2, 4, 6, 8, 9, 10]) {
    const gateway = await here.restart({ env: { OPENCLAW_FAIL_POINTS: `store.write:${commit}:raise` } });
    const ann = bot.person();
    ann.say(`message ${commit}`);
    await telegram.until(() => ann.answers().length > 0, `an answer with commit ${commit} failing`);
    const of = (table: string) => stored(gateway, `SELECT state FROM ${table} WHERE chat = ?`, String(ann.id)).map(({ state }) => state);
    await eventually(() => of('journal').join() === 'handled', 'the journal row has ended');
    await eventually(() => of('outbox').every((state) => state === 'sent' || state === 'unknown'), 'the outbox has settled');
    expect(ann.answers().filter((text) => text === `you said: message ${commit}`)).toHaveLength(1);
    await gateway.kill();
  }
}, 60_000);
