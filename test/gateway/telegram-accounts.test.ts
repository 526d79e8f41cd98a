import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { eventually, startTelegramWorld, stored, telegramConfig, type TelegramWorld } from '../support/telegram-gateway.ts';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(...args: Parameters<typeof startTelegramWorld>): Promise<TelegramWorld> {
  const world = await startTelegramWorld(...args);
  closing.push(() => world.close());
  return world;
}
const online = (gateway: Gateway) => eventually(() => gateway.stdout().includes('Telegram online'), 'the account is online');

/** Environment of a process that writes down every module it loads. */
function watchedModules(): { env: Record<string, string>; loaded(): string } {
  const folder = mkdtempSync(join(tmpdir(), 'openclaw-modules-'));
  closing.push(() => rmSync(folder, { recursive: true, force: true }));
  const hook = join(folder, 'hook.mjs');
  const list = join(folder, 'modules.txt');
  writeFileSync(list, '');
  writeFileSync(
    hook,
    `import { appendFileSync } from 'node:fs';
     import { registerHooks } from 'node:module';
     registerHooks({ load(url, context, next) { appendFileSync(${JSON.stringify(list)}, url + '\\n'); return next(url, context); } });`,
  );
  return { env: { NODE_OPTIONS: `--import ${pathToFileURL(hook).href}` }, loaded: () => readFileSync(list, 'utf8') };
}

it('M-001 says hello without any channel configured, and loads no channel library', async () => {
  const bare = watchedModules();
  const gateway = await startGateway({ env: bare.env });
  closing.push(() => gateway.close());
  const client = await gateway.connect();
  expect((await client.call('health')).ok).toBe(true);
  await gateway.stop();
  expect(bare.loaded()).toContain('/src/main.ts');
  expect(bare.loaded()).not.toMatch(/node_modules\/(grammy|@whiskeysockets)\//);
  // The same look sees the library of an account that is configured.
  const watched = watchedModules();
  const world = await start({}, { env: watched.env });
  await online(world.gateway);
  expect(watched.loaded()).toMatch(/node_modules\/grammy\//);
  expect(watched.loaded()).not.toMatch(/node_modules\/@whiskeysockets\//);
});

it('M-053 F-10 starts a new token from its own cursor, and skips nothing of either bot', async () => {
  const world = await start();
  const { telegram, bot } = world;
  const other = telegram.addBot();
  // The same person writes to both, and both platforms number their updates alike.
  const [first, second] = [bot.person({ id: 5_001 }), other.person({ id: 5_001 })];
  for (const text of ['a', 'b', 'c']) first.say(text);
  await telegram.until(() => first.answers().length === 3);
  await eventually(() => bot.pending().length === 0, 'the cursor is confirmed');
  for (const text of ['d', 'e']) second.say(text);
  await world.gateway.stop();
  const scriptPath = join(world.gateway.home, 'script.json');
  writeFileSync(scriptPath, '{}');
  await world.restart({ config: telegramConfig(telegram, other, scriptPath) });
  await telegram.until(() => second.answers().length === 2, 'nothing of the new bot passes for seen');
  expect(second.answers()).toEqual(['you said: d', 'you said: e']);
  const [firstPoll] = telegram.calls.filter(({ method, botId }) => method === 'getUpdates' && botId === other.id);
  expect(firstPoll?.params).not.toHaveProperty('offset');
  first.say('f');
  await world.gateway.stop();
  const before = telegram.calls.length;
  await world.restart({ config: telegramConfig(telegram, bot, scriptPath) });
  await telegram.until(() => first.answers().length === 4, 'the old bot goes on where it was');
  const [nextPoll] = telegram.calls.slice(before).filter(({ method }) => method === 'getUpdates');
  expect(nextPoll?.params).toMatchObject({ offset: 4 });
  expect(stored(world.gateway, 'SELECT id AS state FROM cursors')).toHaveLength(2);
  expect(stored(world.gateway, 'SELECT state FROM journal')).toHaveLength(6);
});

it('M-054 is unlinked when the token is refused, asks no more, and comes up with a better one', async () => {
  const world = await start({ channel: { botToken: '4242:not-the-right-one-at-all' } });
  const { telegram, bot } = world;
  await world.gateway.printed('Telegram unlinked');
  const client = await world.gateway.connect();
  await eventually(async () => (await client.call('health')).channels.telegram.state === 'unlinked', 'health says so');
  expect(await client.request('send', { to: '5', message: 'x', channel: 'telegram', idempotencyKey: 'k' })).toMatchObject({
    ok: false,
    error: { code: 'NOT_LINKED', retryable: false },
  });
  // Longer than any first retry would have waited; the chart itself is proved to be without a timer.
  await new Promise((resolve) => setTimeout(resolve, 2_600));
  expect(telegram.calls).toHaveLength(1);
  expect(telegram.calls[0]).toMatchObject({ method: 'getMe', outcome: 401 });
  writeFileSync(world.gateway.configPath, JSON.stringify(world.config({ channel: { botToken: bot.token } })));
  world.gateway.signal('SIGUSR1');
  await online(world.gateway);
  const ann = bot.person();
  ann.say('hello');
  await telegram.until(() => ann.answers().length === 1);
});

it('runs two bots side by side, and refuses two accounts with one token', async () => {
  const world = await start();
  const { telegram, bot } = world;
  const other = telegram.addBot();
  await world.gateway.stop();
  const accounts = {
    one: { botToken: bot.token },
    two: { botToken: other.token },
    three: { botToken: bot.token },
  };
  const gateway = await world.restart({ config: world.config({ channel: { botToken: undefined, accounts } }) });
  await telegram.until(() =>
    [bot, other].every(({ id }) => telegram.calls.some((call) => call.botId === id && call.method === 'getUpdates')),
  );
  const [ann, ben] = [bot.person(), other.person()];
  ann.say('to one');
  ben.say('to two');
  await telegram.until(() => ann.answers().length + ben.answers().length === 2);
  expect([ann.answers(), ben.answers()]).toEqual([['you said: to one'], ['you said: to two']]);
  const client = await gateway.connect();
  const accountsNow = async () =>
    (await client.call('health')).channels.telegram.accounts as Record<string, { state: string; lastError?: string }>;
  const shown = await eventually(async () => {
    const found = await accountsNow();
    return found['one']?.state === 'online' && found['two']?.state === 'online' && found;
  }, 'both are online');
  expect(shown['three']).toMatchObject({ state: 'disabled', lastError: expect.stringContaining('duplicate-token') as string });
  expect(bot.overlaps + other.overlaps).toBe(0);
});
