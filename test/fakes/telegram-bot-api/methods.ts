/** What the Bot API does when it is asked, apart from waiting for updates. Limits and words are the platform's. */
import { type Answer, ok, refusal } from './faults.ts';
import { parseHtml } from './html-check.ts';
import type { BotState, ChatState, Json, Line } from './types.ts';

const maxText = 4_096;

const badRequest = (what: string) => refusal(400, `Bad Request: ${what}`);

type Method = (bot: BotState, params: Json, now: number) => Answer;

/** Also takes what older clients send: numbers as text, objects as JSON text. */
const numberOf = (value: unknown) => (value === undefined || value === '' ? undefined : Number(value));
const objectOf = (value: unknown) => (typeof value === 'string' ? (JSON.parse(value) as Json) : (value as Json | undefined));

function chatOf(bot: BotState, id: unknown): ChatState | undefined {
  if (typeof id === 'string' && id.startsWith('@'))
    return [...bot.chats.values()].find(
      ({ chat }) => chat.type !== 'private' && chat.username?.toLowerCase() === id.slice(1).toLowerCase(),
    );
  return bot.chats.get(Number(id));
}

/** The chat, if the bot may write into it. */
function writable(bot: BotState, params: Json): ChatState | Answer {
  const state = chatOf(bot, params['chat_id']);
  if (state === undefined) return badRequest('chat not found');
  if (state.blocked)
    return state.chat.type === 'private'
      ? refusal(403, 'Forbidden: bot was blocked by the user')
      : refusal(403, 'Forbidden: bot was kicked from the group chat');
  return state;
}

const isAnswer = (value: ChatState | Answer | { plain: string; html?: string }): value is Answer => 'status' in value;

function readText(params: Json): { plain: string; html?: string } | Answer {
  const text = typeof params['text'] === 'string' ? params['text'] : '';
  const parsed = params['parse_mode'] === 'HTML' ? parseHtml(text) : { plain: text };
  if ('error' in parsed) return refusal(400, parsed.error);
  if (parsed.plain.trim() === '') return badRequest('message text is empty');
  // Counted in UTF-16 units, after the tags are gone.
  if (parsed.plain.length > maxText) return badRequest('message is too long');
  return params['parse_mode'] === 'HTML' ? { plain: parsed.plain, html: text } : { plain: parsed.plain };
}

export const messageOf = (bot: BotState, { chat }: ChatState, line: Line): Json => ({
  message_id: line.messageId,
  from: { id: bot.me.id, is_bot: true, first_name: bot.me.first_name, username: bot.me.username },
  chat,
  date: Math.floor(line.at / 1_000),
  text: line.text,
  ...(line.thread === undefined ? {} : { message_thread_id: line.thread, is_topic_message: true }),
});

const sendMessage: Method = (bot, params, now) => {
  const state = writable(bot, params);
  if (isAnswer(state)) return state;
  const text = readText(params);
  if (isAnswer(text)) return text;
  const thread = numberOf(params['message_thread_id']);
  // The general topic cannot be named, nor can a topic be named where there are none.
  if (thread !== undefined && !state.topics.has(thread)) return badRequest('message thread not found');
  const reply = objectOf(params['reply_parameters']);
  const replyTo = numberOf(reply?.['message_id']);
  const isKnown = replyTo !== undefined && state.lines.some(({ messageId, deleted }) => messageId === replyTo && deleted !== true);
  if (replyTo !== undefined && !isKnown && reply?.['allow_sending_without_reply'] !== true)
    return badRequest('message to be replied not found');
  const line: Line = {
    messageId: state.nextMessageId++,
    from: 'bot',
    text: text.plain,
    ...(text.html === undefined ? {} : { html: text.html }),
    ...(thread === undefined ? {} : { thread }),
    ...(replyTo === undefined || !isKnown ? {} : { replyTo }),
    at: now,
  };
  state.lines.push(line);
  return ok(messageOf(bot, state, line));
};

const editMessageText: Method = (bot, params) => {
  const state = writable(bot, params);
  if (isAnswer(state)) return state;
  const line = state.lines.find(({ messageId, from }) => messageId === numberOf(params['message_id']) && from === 'bot');
  if (line === undefined || line.deleted === true) return badRequest('message to edit not found');
  const text = readText(params);
  if (isAnswer(text)) return text;
  if (line.text === text.plain && line.html === text.html)
    return badRequest(
      'message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message',
    );
  line.text = text.plain;
  delete line.html;
  if (text.html !== undefined) line.html = text.html;
  return ok(messageOf(bot, state, line));
};

const deleteMessage: Method = (bot, params) => {
  const state = writable(bot, params);
  if (isAnswer(state)) return state;
  const line = state.lines.find(({ messageId }) => messageId === numberOf(params['message_id']));
  if (line === undefined || line.deleted === true) return badRequest('message to delete not found');
  line.deleted = true;
  return ok(true);
};

const sendChatAction: Method = (bot, params) => {
  const state = writable(bot, params);
  if (isAnswer(state)) return state;
  const thread = numberOf(params['message_thread_id']);
  // Here the general topic may be named.
  if (thread !== undefined && thread !== 1 && !state.topics.has(thread)) return badRequest('message thread not found');
  return ok(true);
};

const getChat: Method = (bot, params) => {
  const state = chatOf(bot, params['chat_id']);
  return state === undefined ? badRequest('chat not found') : ok(state.chat);
};

const setMyCommands: Method = (bot, params) => {
  const commands = (typeof params['commands'] === 'string' ? JSON.parse(params['commands']) : params['commands']) as
    | { command: string; description: string }[]
    | undefined;
  if (!Array.isArray(commands)) return badRequest("parameter 'commands' is required");
  if (commands.some(({ command }) => !/^[a-z0-9_]{1,32}$/.test(command))) return badRequest('BOT_COMMAND_INVALID');
  bot.commands = commands;
  return ok(true);
};

export const methods: Readonly<Record<string, Method>> = {
  getme: ({ me }) => ok(me),
  deletewebhook(bot, params) {
    bot.webhook = '';
    if (params['drop_pending_updates'] === true || params['drop_pending_updates'] === 'true') bot.updates.length = 0;
    return ok(true);
  },
  setwebhook(bot, params) {
    const url = String(params['url'] ?? '');
    if (url !== '' && !url.startsWith('https://')) return badRequest('bad webhook: An HTTPS URL must be provided for webhook');
    bot.webhook = url;
    // A poll that is open when a webhook comes is ended like any other intruder.
    bot.poll?.end('conflict');
    return ok(true);
  },
  getwebhookinfo: (bot) => ok({ url: bot.webhook, has_custom_certificate: false, pending_update_count: bot.updates.length }),
  setmycommands: setMyCommands,
  getmycommands: ({ commands }) => ok(commands),
  sendmessage: sendMessage,
  editmessagetext: editMessageText,
  deletemessage: deleteMessage,
  sendchataction: sendChatAction,
  getchat: getChat,
  answercallbackquery: () => ok(true),
  setmessagereaction: (bot, params) => (chatOf(bot, params['chat_id']) === undefined ? badRequest('chat not found') : ok(true)),
};
