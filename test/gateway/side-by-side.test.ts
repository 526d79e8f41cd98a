import { afterEach, expect, it } from 'vitest';
import type { RawClient } from '../support/raw-client.ts';
import { eventually, startTelegramWorld, type TelegramWorld } from '../support/telegram-gateway.ts';

let world: TelegramWorld | undefined;
afterEach(() => world?.close());

interface Entry {
  role: string;
  content: { text?: string }[];
  runId?: string;
}

const chatKey = 'agent:main:browser';

it('keeps three conversations complete: Telegram, WebSocket and command line, through a soft restart, a kill and another start', async () => {
  world = await startTelegramWorld({ script: { '*': [{ chunks: ['you ', 'were ', 'heard'], everyMs: 15 }] } });
  const { telegram, bot } = world;
  const here = world;
  const ann = bot.person();
  let isOver = false;
  const said = { telegram: [] as string[], chat: [] as string[], cli: [] as string[] };

  /** Somebody in a chat writes whenever the last answer is there; every message is in the history of the chat. */
  async function talkOnTelegram() {
    for (let index = 0; !isOver; index += 1) {
      said.telegram.push(`t${index}`);
      ann.say(`t${index}`);
      await telegram.until(() => replies().length > index, `the answer to t${index}`, 30_000);
    }
  }
  const replies = () => ann.answers().filter((text) => text === 'you were heard' || text.includes('/resend'));

  /** A browser: sends under a key of its own, and sends again under the same key until it has heard the end. */
  async function talkOnSocket() {
    for (let index = 0; !isOver; index += 1) {
      said.chat.push(`w${index}`);
      await eventually(
        async () => {
          const client = await here.gateway.connect().catch(() => undefined);
          if (client === undefined) return false;
          try {
            return await chatOnce(client, `w${index}`);
          } catch {
            return false;
          } finally {
            client.close();
          }
        },
        `the end of w${index}`,
        30_000,
      );
    }
  }
  async function chatOnce(client: RawClient, text: string): Promise<boolean> {
    const answer = await client.request('chat.send', { sessionKey: chatKey, message: text, idempotencyKey: text });
    if (!answer.ok && answer.error?.code === 'UNAVAILABLE' && answer.error.retryable === true) return false;
    const { status } = await client.call('agent.wait', { runId: text, timeoutMs: 10_000 }, 12_000);
    return status === 'ok';
  }

  /** A script on a shell: the same command with the same key until it succeeds. */
  async function talkOnCommandLine() {
    for (let index = 0; !isOver; index += 1) {
      said.cli.push(`c${index}`);
      await eventually(
        async () => {
          const { code, stdout } = await here.gateway.cli([
            'agent',
            '--agent',
            'main',
            '--message',
            `c${index}`,
            '--idempotency-key',
            `c${index}`,
          ]);
          return code === 0 && stdout.includes('you were heard');
        },
        `the answer to c${index}`,
        30_000,
      );
    }
  }

  const talks = Promise.all([talkOnTelegram(), talkOnSocket(), talkOnCommandLine()]);
  const heardOf = () => [replies().length, said.chat.length - 1, said.cli.length - 1];
  /** All three have got on since. */
  const progress = async (by: number) => {
    const before = heardOf();
    await eventually(() => heardOf().every((count, index) => count >= (before[index] ?? 0) + by), 'all three go on', 30_000);
  };
  await progress(1);
  const { pid } = here.gateway;
  here.gateway.signal('SIGUSR1');
  await here.gateway.printed('ready again');
  expect(here.gateway.pid).toBe(pid);
  await progress(1);
  await here.gateway.kill();
  await here.restart();
  await progress(1);
  isOver = true;
  await talks;

  const client = await here.gateway.connect();
  const historyOf = async (sessionKey: string): Promise<Entry[]> =>
    (await client.call('chat.history', { sessionKey, limit: 1_000 })).messages;
  const textsOf = (entries: Entry[], role: string) =>
    entries.filter((entry) => entry.role === role).map(({ content }) => content.map(({ text }) => text ?? '').join(''));
  const sessions = (await client.call('sessions.list', {})).sessions.map(({ key }: { key: string }) => key) as string[];
  const telegramKey = sessions.find((key) => key.includes(`telegram`) && key.includes(String(ann.id))) as string;
  for (const [key, texts] of [
    [telegramKey, said.telegram],
    [chatKey, said.chat],
    ['agent:main:main', said.cli],
  ] as const) {
    const entries = await historyOf(key);
    // A turn that was cut off and told so keeps what was asked; none is missing, doubled or out of order.
    expect(textsOf(entries, 'user'), key).toEqual(texts);
    expect(textsOf(entries, 'assistant'), key).toEqual(texts.map(() => 'you were heard'));
  }
  // What people see in the chat is the same story.
  const own = ann.history().filter(({ from }) => from === 'person');
  expect(own.map(({ text }) => text)).toEqual(said.telegram);
  expect(ann.answers().filter((text) => text === 'you were heard').length).toBeLessThanOrEqual(said.telegram.length);
  expect(replies().length).toBeGreaterThanOrEqual(said.telegram.length);
  expect(bot.overlaps).toBe(0);
}, 90_000);
