/** The fake against the real library: when an update of grammY breaks one of these, the gateway's tests are not to blame. */
import { Api, Bot, GrammyError, HttpError } from 'grammy';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseHtml } from './html-check.ts';
import { type FakeBot, type FakeTelegram, startTelegram } from './index.ts';

let telegram: FakeTelegram;
let bot: FakeBot;
let api: Api;

beforeEach(async () => {
  telegram = await startTelegram();
  bot = telegram.addBot({ username: 'helper_bot' });
  api = new Api(bot.token, { apiRoot: telegram.url, timeoutSeconds: 5 });
});
afterEach(() => telegram.close());

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error('it worked');
    },
    (error: unknown) => error,
  );
const refusalOf = async (promise: Promise<unknown>) => {
  const error = await failure(promise);
  expect(error).toBeInstanceOf(GrammyError);
  const { error_code: status, description, parameters } = error as GrammyError;
  return { status, description, parameters };
};
const lossOf = async (promise: Promise<unknown>) => {
  const error = await failure(promise);
  expect(error).toBeInstanceOf(HttpError);
  return (error as HttpError).error as { code?: string; message: string };
};

it('lets the built-in poller start, receive, answer and stop', async () => {
  const ann = bot.person({ first_name: 'Ann' });
  const library = new Bot(bot.token, { client: { apiRoot: telegram.url } });
  library.on('message:text', (ctx) => ctx.reply(`you said ${ctx.message.text}`));
  const running = library.start();
  ann.say('hi');
  await telegram.until(() => ann.answers().includes('you said hi'));
  await telegram.until(() => bot.pending().length === 0, 'the update is confirmed');
  await library.stop();
  await running;
  const names = telegram.calls.map(({ method }) => method);
  expect(names.slice(0, 3)).toEqual(['getMe', 'deleteWebhook', 'getUpdates']);
  // Its way to confirm what it has seen.
  expect(telegram.calls.at(-1)).toMatchObject({ method: 'getUpdates', params: { limit: 1 } });
});

it('refuses a wrong token and an unknown method as the platform does', async () => {
  const stranger = new Api('1:wrong', { apiRoot: telegram.url });
  expect(await refusalOf(stranger.getMe())).toMatchObject({ status: 401, description: 'Unauthorized' });
  const unknown = (api.raw as unknown as Record<string, (params: object) => Promise<unknown>>)['inventAnything'];
  expect(await refusalOf(unknown?.({}) as Promise<unknown>)).toMatchObject({ status: 404 });
});

it('offers an update until its offset confirms it, keeps to limit and kinds, and waits as long as it is told', async () => {
  const ann = bot.person();
  for (const text of ['a', 'b', 'c']) ann.say(text);
  ann.react(1, '👍');
  const texts = (updates: { update_id: number; message?: { text?: string } }[]) => updates.map(({ message }) => message?.text);
  expect(texts(await api.getUpdates({ limit: 2 }))).toEqual(['a', 'b']);
  expect(texts(await api.getUpdates({}))).toEqual(['a', 'b', 'c']);
  expect(texts(await api.getUpdates({ offset: 3 }))).toEqual(['c']);
  expect((await api.getUpdates({ offset: 4, allowed_updates: ['message_reaction'] })).map(({ update_id: id }) => id)).toEqual([4]);
  const from = performance.now();
  expect(await api.getUpdates({ offset: 5, timeout: 1 })).toEqual([]);
  expect(performance.now() - from).toBeGreaterThan(950);
  const waiting = api.getUpdates({ offset: 5, timeout: 30 });
  await telegram.until(() => telegram.callsOf('getUpdates').length === 6);
  ann.say('d');
  expect(texts(await waiting)).toEqual(['d']);
  expect(bot.overlaps).toBe(0);
});

it('ends the first of two getUpdates with 409, and counts it', async () => {
  const first = refusalOf(api.getUpdates({ timeout: 30 }));
  await telegram.until(() => telegram.callsOf('getUpdates').length === 1);
  const second = api.getUpdates({ timeout: 30 });
  expect(await first).toMatchObject({ status: 409, description: expect.stringContaining('terminated by other getUpdates') as string });
  expect(bot.overlaps).toBe(1);
  bot.person().say('x');
  expect(await second).toHaveLength(1);
  await api.setWebhook('https://example.org/hook');
  expect((await refusalOf(api.getUpdates())).description).toContain('webhook is active');
  expect(await api.getWebhookInfo()).toMatchObject({ url: 'https://example.org/hook' });
  await api.deleteWebhook();
  expect(await api.getUpdates()).toHaveLength(1);
});

it('sends, edits, deletes and reacts, with rising ids per chat and the limits of the platform', async () => {
  const ann = bot.person();
  const question = ann.say('hello');
  const sent = await api.sendMessage(ann.id, '<b>hi</b> &amp; bye', {
    parse_mode: 'HTML',
    reply_parameters: { message_id: question.messageId },
  });
  expect(sent.message_id).toBe(question.messageId + 1);
  expect(ann.history().at(-1)).toMatchObject({ from: 'bot', text: 'hi & bye', html: '<b>hi</b> &amp; bye', replyTo: 1 });
  expect((await refusalOf(api.sendMessage(ann.id, 'x'.repeat(4_097)))).description).toBe('Bad Request: message is too long');
  expect(await api.sendMessage(ann.id, `<b>${'x'.repeat(4_096)}</b>`, { parse_mode: 'HTML' })).toBeTruthy();
  expect((await refusalOf(api.sendMessage(ann.id, ' '))).description).toBe('Bad Request: message text is empty');
  expect((await refusalOf(api.sendMessage(99, 'x'))).description).toBe('Bad Request: chat not found');
  expect((await refusalOf(api.sendMessage(ann.id, '<b>x', { parse_mode: 'HTML' }))).description).toContain("can't parse entities");
  expect((await refusalOf(api.editMessageText(ann.id, 2, '<b>hi</b> &amp; bye', { parse_mode: 'HTML' }))).description).toContain(
    'message is not modified',
  );
  await api.editMessageText(ann.id, 2, 'better');
  expect(ann.answers()[0]).toBe('better');
  await api.setMessageReaction(ann.id, 1, [{ type: 'emoji', emoji: '👍' }]);
  await api.deleteMessage(ann.id, 2);
  expect(ann.answers()).toHaveLength(1);
  ann.block();
  expect(await refusalOf(api.sendMessage(ann.id, 'x'))).toMatchObject({
    status: 403,
    description: 'Forbidden: bot was blocked by the user',
  });
  ann.unblock();
  expect(await api.sendChatAction(ann.id, 'typing')).toBe(true);
  expect(await api.getChat(ann.id)).toMatchObject({ id: ann.id, type: 'private' });
  await api.setMyCommands([{ command: 'help', description: 'Help' }]);
  expect(bot.commands()).toEqual([{ command: 'help', description: 'Help' }]);
});

it('knows topics: the general one may be named for typing and not for texts', async () => {
  const forum = bot.group({ forum: true, topics: [7] });
  forum.say('in a topic', { thread: 7 });
  await api.sendMessage(forum.id, 'there', { message_thread_id: 7 });
  expect(forum.history().at(-1)).toMatchObject({ text: 'there', thread: 7 });
  expect((await refusalOf(api.sendMessage(forum.id, 'x', { message_thread_id: 1 }))).description).toBe(
    'Bad Request: message thread not found',
  );
  expect(await api.sendChatAction(forum.id, 'typing', { message_thread_id: 1 })).toBe(true);
});

it('says why a text cannot be shown, in the words of the platform', () => {
  const why = (html: string) => (parseHtml(html) as { error?: string }).error?.replace("Bad Request: can't parse entities: ", '');
  expect(parseHtml('<b>a <i>b</i></b> &lt;c&gt; & <code>d</code> <a href="x">e</a>')).toEqual({ plain: 'a b <c> & d e' });
  expect(why('é<foo>')).toBe('Unsupported start tag "foo" at byte offset 2');
  expect(why('<b>x')).toBe('Can\'t find end tag corresponding to start tag "b"');
  expect(why('x</b>')).toBe('Unexpected end tag at byte offset 1');
  expect(why('<b><i>x</b></i>')).toBe('Unmatched end tag at byte offset 7, expected "</i>", found "</b>"');
  expect(why('1 <')).toBe('Unclosed start tag at byte offset 2');
});

it('misbehaves as it is told: limits, pages, lost and half answers', async () => {
  const ann = bot.person();
  telegram.fault({ method: 'sendMessage', kind: 'tooManyRequests', retryAfter: 2 });
  expect(await refusalOf(api.sendMessage(ann.id, 'x'))).toMatchObject({ status: 429, parameters: { retry_after: 2 } });
  telegram.fault({ method: 'sendMessage', kind: 'refuse', status: 500, description: 'Internal Server Error' });
  expect(await refusalOf(api.sendMessage(ann.id, 'x'))).toMatchObject({ status: 500 });
  telegram.fault({ method: 'sendMessage', kind: 'html', status: 502 });
  await lossOf(api.sendMessage(ann.id, 'x'));
  telegram.fault({ method: 'sendMessage', kind: 'wrongJson' });
  await lossOf(api.sendMessage(ann.id, 'x'));
  telegram.fault({ method: 'sendMessage', kind: 'destroyBeforeReading' });
  expect((await lossOf(api.sendMessage(ann.id, 'x'))).code).toBe('ECONNRESET');
  telegram.fault({ method: 'sendMessage', kind: 'destroyBeforeAnswering', applied: false });
  expect((await lossOf(api.sendMessage(ann.id, 'x'))).code).toBe('ECONNRESET');
  expect(ann.answers()).toEqual([]);
  telegram.fault({ method: 'sendMessage', kind: 'destroyBeforeAnswering' });
  await lossOf(api.sendMessage(ann.id, 'done unseen'));
  // The library waits for the other half until its own time is up.
  const hasty = new Api(bot.token, { apiRoot: telegram.url, timeoutSeconds: 1 });
  telegram.fault({ method: 'sendMessage', kind: 'halfAnswer' });
  await lossOf(hasty.sendMessage(ann.id, 'half'));
  expect(ann.answers()).toEqual(['done unseen', 'half']);
  telegram.fault({ method: 'sendMessage', kind: 'late', delayMs: 200, match: ({ text }) => text === 'slow' });
  const from = performance.now();
  await api.sendMessage(ann.id, 'fast');
  await api.sendMessage(ann.id, 'slow');
  expect(performance.now() - from).toBeGreaterThan(190);
  telegram.fault({ method: 'getMe', kind: 'late', delayMs: 3_000 });
  await lossOf(hasty.getMe());
  await telegram.goDown();
  expect((await lossOf(api.sendMessage(ann.id, 'x'))).code).toBe('ECONNREFUSED');
  await telegram.comeBack();
  await api.sendMessage(ann.id, 'back');
  expect(ann.answers().at(-1)).toBe('back');
});

it('lets an abort end a long poll at once', async () => {
  const stop = new AbortController();
  const poll = failure(api.getUpdates({ timeout: 30 }, stop.signal as never));
  await telegram.until(() => telegram.callsOf('getUpdates').length === 1);
  stop.abort();
  await poll;
  await telegram.until(() => telegram.calls[0]?.outcome === 'hungUp');
  expect(await api.getUpdates({})).toEqual([]);
  expect(bot.overlaps).toBe(0);
});
