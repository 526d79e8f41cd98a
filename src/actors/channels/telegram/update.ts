/** An update of the Bot API as a journal row: what is needed later, and nothing else. */
import type { JournalInput } from '../../store/contract.ts';

interface Chat {
  id: number;
  type: string;
  is_forum?: boolean;
}

interface From {
  id: number;
  username?: string;
  first_name?: string;
  is_bot?: boolean;
}

interface Message {
  message_id: number;
  date: number;
  chat: Chat;
  from?: From;
  text?: string;
  caption?: string;
  message_thread_id?: number;
  is_topic_message?: boolean;
}

export interface Update {
  update_id: number;
  message?: Message;
  edited_message?: Message;
  callback_query?: { from: From; message?: { chat: Chat; message_id: number; date: number } };
  message_reaction?: { chat: Chat; user?: From; date: number };
  my_chat_member?: { chat: Chat; from: From; date: number };
}

/** What of an update is kept. */
export interface UpdateBody {
  text?: string;
  messageId?: number;
  chatType: string;
  isForum: boolean;
  username?: string;
  name?: string;
}

/** The topic every forum has; its messages come without a topic of their own. */
export const generalTopic = '1';

/**
 * @param botId part of the key: numbers of updates are each bot's own, and another bot's must not pass for seen (F-10).
 * An update that is not what the platform promises is kept as such: one that cannot be read may not stop those behind it.
 */
export function toJournal(update: Update, botId: string): JournalInput {
  const dedupeKey = `bot:${botId}:update:${update.update_id}`;
  try {
    return { dedupeKey, ...read(update) };
  } catch {
    return { dedupeKey, chat: '0', sender: '0', ts: 0, kind: 'malformed', body: bodyOf(undefined, undefined, {}) };
  }
}

function read(update: Update): Omit<JournalInput, 'dedupeKey'> {
  const { message } = update;
  if (message) {
    const text = message.text ?? message.caption;
    return {
      chat: String(message.chat.id),
      sender: String(message.from?.id ?? message.chat.id),
      ts: message.date * 1_000,
      kind: text === undefined ? 'media' : 'text',
      ...threadOf(message),
      body: bodyOf(message.chat, message.from, { messageId: message.message_id, ...(text === undefined ? {} : { text }) }),
    };
  }
  const [kind, chat, from, date] = otherKind(update);
  return { chat: String(chat?.id ?? 0), sender: String(from?.id ?? 0), ts: date * 1_000, kind, body: bodyOf(chat, from, {}) };
}

function threadOf({ chat, is_topic_message: isTopic, message_thread_id: thread }: Message): { thread?: string } {
  if (isTopic === true && thread !== undefined) return { thread: String(thread) };
  return chat.is_forum === true ? { thread: generalTopic } : {};
}

function otherKind(update: Update): [kind: string, chat: Chat | undefined, from: From | undefined, date: number] {
  const { edited_message: edited, callback_query: callback, message_reaction: reaction, my_chat_member: member } = update;
  if (edited) return ['edited', edited.chat, edited.from, edited.date];
  if (callback) return ['callback', callback.message?.chat, callback.from, callback.message?.date ?? 0];
  if (reaction) return ['reaction', reaction.chat, reaction.user, reaction.date];
  if (member) return ['member', member.chat, member.from, member.date];
  return ['other', undefined, undefined, 0];
}

const bodyOf = (chat: Chat | undefined, from: From | undefined, more: Partial<UpdateBody>): UpdateBody => ({
  chatType: chat?.type ?? 'unknown',
  isForum: chat?.is_forum === true,
  ...(from?.username === undefined ? {} : { username: from.username }),
  ...(from?.first_name === undefined ? {} : { name: from.first_name }),
  ...more,
});
