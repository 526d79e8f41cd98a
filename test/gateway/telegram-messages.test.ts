import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, startTelegramWorld, stored, type TelegramWorld } from '../support/telegram-gateway.ts';

let world: TelegramWorld;
const slow = 'take your time';

beforeAll(async () => {
  world = await startTelegramWorld({
    script: {
      [slow]: [{ hang: true }],
      markup: [{ text: '_a **b_ c**' }],
      long: [{ text: `\`\`\`ts\n${'const line = 1;\n'.repeat(560)}\`\`\`` }],
    },
  });
});
afterAll(() => world.close());

const journalOf = (chat: number) => stored(world.gateway, 'SELECT * FROM journal WHERE chat = ? ORDER BY id', String(chat));
const outboxOf = (chat: number) => stored(world.gateway, 'SELECT * FROM outbox WHERE chat = ? ORDER BY id', String(chat));

it('M-049 starts with getMe, deleteWebhook without dropping, setMyCommands, getUpdates', async () => {
  const { telegram, bot } = world;
  await telegram.until(() => telegram.callsOf('getUpdates').length > 0);
  const firsts = telegram.calls.slice(0, 4);
  expect(firsts.map(({ method }) => method)).toEqual(['getMe', 'deleteWebhook', 'setMyCommands', 'getUpdates']);
  expect(firsts[1]?.params).toEqual({ drop_pending_updates: false });
  expect(firsts[3]?.params).toMatchObject({ timeout: 30, limit: 100 });
  expect(bot.commands()).toContainEqual(expect.objectContaining({ command: 'stop' }));
});

it('answers a message of somebody who may speak, and keeps both sides', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  ann.say('hello');
  await telegram.until(() => ann.answers().length === 1);
  expect(ann.answers()).toEqual(['you said: hello']);
  await eventually(() => outboxOf(ann.id)[0]?.state === 'sent', 'the row is sent');
  expect(journalOf(ann.id).map(({ state }) => state)).toEqual(['handled']);
});

it('M-055 serves chats side by side, one chat strictly in order, and lets /stop overtake', async () => {
  const { telegram, bot } = world;
  const [busy, other] = [bot.person(), bot.person()];
  busy.say(slow);
  await telegram.until(() => telegram.callsOf('sendChatAction', ({ chat_id: id }) => id === busy.id).length > 0);
  const waiting = Array.from({ length: 12 }, (_, index) => `after ${index}`);
  for (const text of waiting) busy.say(text);
  other.say('me too');
  await telegram.until(() => other.answers().length === 1, 'the other chat is answered');
  expect(busy.answers()).toEqual([]);
  // Stops the running turn and what waits behind it, although it was written last.
  busy.say('/stop');
  await telegram.until(() => busy.answers().length === 1, 'the stop is answered');
  expect(busy.answers()[0]).toMatch(/^Stopped/);
  for (const text of ['one', 'two', 'three', 'four']) busy.say(text);
  await telegram.until(() => busy.answers().length === 5, 'the four are answered');
  expect(busy.answers().slice(1)).toEqual(['one', 'two', 'three', 'four'].map((text) => `you said: ${text}`));
  // What was written before the stop ended with it: begun and aborted, or never begun.
  const ends = () => journalOf(busy.id).map(({ state, reason }) => (reason === null ? state : `${state}: ${reason}`));
  await eventually(() => ends().every((end) => end === 'handled' || end === 'dropped: stopped'), 'each row has its final state');
  expect(ends().slice(-5)).toEqual(Array.from({ length: 5 }, () => 'handled'));
  expect(ends()).toHaveLength(waiting.length + 6);
});

it('M-058 sends a text the platform cannot parse once more as plain text, as the same row', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  telegram.fault({
    method: 'sendMessage',
    kind: 'refuse',
    status: 400,
    description: 'Bad Request: can\'t parse entities: Can\'t find end tag corresponding to start tag "b"',
    match: ({ chat_id: id, parse_mode: mode }) => id === ann.id && mode === 'HTML',
    times: Number.POSITIVE_INFINITY,
  });
  ann.say('hello');
  await telegram.until(() => ann.answers().length === 1);
  const calls = telegram.callsOf('sendMessage', ({ chat_id: id }) => id === ann.id);
  expect(calls.map(({ params }) => params['parse_mode'])).toEqual(['HTML', undefined]);
  await eventually(() => outboxOf(ann.id)[0]?.state === 'sent', 'the row is sent');
  expect(outboxOf(ann.id)).toHaveLength(1);
  telegram.noFaults();
});

it('M-058 gives up after the plain text: a platform that refuses that too is not asked for ever', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  telegram.fault({
    method: 'sendMessage',
    kind: 'refuse',
    status: 400,
    description: "Bad Request: can't parse entities: nobody knows why",
    match: ({ chat_id: id }) => id === ann.id,
    times: Number.POSITIVE_INFINITY,
  });
  ann.say('hello');
  await eventually(() => outboxOf(ann.id)[0]?.state === 'failed', 'the row has failed');
  expect(telegram.callsOf('sendMessage', ({ chat_id: id }) => id === ann.id)).toHaveLength(2);
  telegram.noFaults();
});

it('survives its own markup: tags that cross are sent plain', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  ann.say('markup');
  await telegram.until(() => ann.answers().length === 1);
  expect(ann.answers()).toEqual(['_a **b_ c**']);
});

it('M-044 cuts 9 000 characters for Telegram into three parts of at most 4 000 with balanced code fences', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  ann.say('long');
  await telegram.until(() => ann.answers().length === 3);
  const parts = outboxOf(ann.id).map(({ payload }) => (JSON.parse(String(payload)) as { text: string }).text);
  expect(parts).toHaveLength(3);
  for (const part of parts) {
    expect(part.length).toBeLessThanOrEqual(4_000);
    expect(part.split('\n').filter((line) => line.startsWith('```'))).toHaveLength(2);
  }
  expect(ann.answers().join('\n')).toBe('const line = 1;\n'.repeat(560).trimEnd());
  expect(
    ann
      .history()
      .filter(({ from }) => from === 'bot')
      .every(({ html }) => html?.startsWith('<pre>') && html.endsWith('</pre>')),
  ).toBe(true);
});

it('M-061 answers in the topic; the general one is left out for texts and named for typing', async () => {
  const { telegram, bot } = world;
  const forum = bot.group({ forum: true, topics: [7] });
  forum.say('in a topic', { thread: 7 });
  await telegram.until(() => forum.answers().length === 1);
  const callsOf = (method: string) => telegram.callsOf(method, ({ chat_id: id }) => id === forum.id);
  expect(callsOf('sendMessage')[0]?.params).toMatchObject({ message_thread_id: 7, reply_parameters: { message_id: 1 } });
  await telegram.until(() => callsOf('sendChatAction').length === 1);
  expect(callsOf('sendChatAction')[0]?.params).toMatchObject({ action: 'typing', message_thread_id: 7 });
  forum.say('in general');
  await telegram.until(() => forum.answers().length === 2 && callsOf('sendChatAction').length === 2);
  expect(callsOf('sendMessage')[1]?.params).not.toHaveProperty('message_thread_id');
  expect(callsOf('sendChatAction')[1]?.params).toMatchObject({ message_thread_id: 1 });
});

it('M-067 answers at once although typing fails every time', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  const typing = telegram.fault({
    method: 'sendChatAction',
    kind: 'refuse',
    status: 500,
    description: 'Internal Server Error',
    times: 1_000,
  });
  ann.say('hello');
  await telegram.until(() => ann.answers().length === 1 && typing.left < 1_000);
  await eventually(() => outboxOf(ann.id)[0]?.state === 'sent', 'the row is sent');
  expect(outboxOf(ann.id)[0]).toMatchObject({ attempts: 1, last_error: null });
  // Nor does it matter when typing hangs longer than the answer takes.
  typing.lift();
  telegram.fault({ method: 'sendChatAction', kind: 'late', delayMs: 4_000 });
  ann.say('again');
  await telegram.until(() => ann.answers().length === 2, 'the answer', 3_500);
  telegram.noFaults();
});

it('drops what nobody may say or it cannot read, each with its reason', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  const { messageId } = ann.say('hello');
  await telegram.until(() => ann.answers().length === 1);
  ann.edit(messageId, 'hello!');
  ann.react(messageId, '👍');
  bot.raw({ poll: { id: '1' } });
  bot.raw({ message: { message_id: 'not a message' } });
  ann.say('still there');
  await telegram.until(() => ann.answers().length === 2, 'a broken update does not make it deaf');
  expect(journalOf(ann.id).map(({ kind, state, reason }) => [kind, state, reason])).toEqual([
    ['text', 'handled', null],
    ['edited', 'dropped', 'unsupported'],
    ['reaction', 'dropped', 'unsupported'],
    ['text', 'handled', null],
  ]);
});
