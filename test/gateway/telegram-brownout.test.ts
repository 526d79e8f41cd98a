/** A commit that fails once, wherever it falls: nobody may be left without an answer, and nobody may get two. */
import { afterEach, expect, it } from 'vitest';
import { eventually, startTelegramWorld, stored, type TelegramWorld } from '../support/telegram-gateway.ts';

let world: TelegramWorld | undefined;
afterEach(() => world?.close());

it('answers each message once although a commit fails on its way, at any point of it', async () => {
  const here = (world = await startTelegramWorld());
  const { telegram, bot } = here;
  await here.gateway.kill();
  for (const commit of [4, 6, 8, 10]) {
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

interface Node {
  path: string;
  restarts?: number;
  children: Node[];
}
const find = (node: Node, path: string): Node | undefined =>
  node.path === path ? node : node.children.map((child) => find(child, path)).find(Boolean);

it('goes on by itself when the thread of the store dies under messages, with its accounts still online', async () => {
  const here = (world = await startTelegramWorld());
  const { telegram, bot } = here;
  await here.gateway.kill();
  for (const commit of [12, 14]) {
    const gateway = await here.restart({ env: { OPENCLAW_FAIL_POINTS: `store.write:${commit}:exit` } });
    const chats = [bot.person(), bot.person(), bot.person()];
    for (const chat of chats) chat.say(`message ${commit}`);
    const isTold = (answers: string[]) => answers.some((text) => text.includes(`message ${commit}`) || text.includes('/resend'));
    await telegram.until(() => chats.every((chat) => isTold(chat.answers())), `all answers, with the store dying at commit ${commit}`);
    for (const chat of chats) {
      const of = (table: string) => stored(gateway, `SELECT state FROM ${table} WHERE chat = ?`, String(chat.id)).map(({ state }) => state);
      await eventually(() => of('journal').join() === 'handled', 'the journal row has ended');
      await eventually(() => of('outbox').every((state) => state === 'sent' || state === 'unknown'), 'the outbox has settled');
      expect(chat.answers().filter((text) => text === `you said: message ${commit}`).length).toBeLessThanOrEqual(1);
    }
    const restarts = await eventually(async () => {
      const client = await gateway.connect().catch(() => undefined);
      const tree = await client?.call('inspector.tree').catch(() => undefined);
      client?.close();
      return tree && find((tree as { root: Node }).root, 'root/core/store')?.restarts;
    }, 'the tree is there');
    expect(restarts).toBeGreaterThan(0);
    await gateway.kill();
  }
}, 60_000);
