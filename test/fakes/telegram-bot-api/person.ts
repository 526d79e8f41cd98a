/** The other side of the chats: people who write, edit and block. What they do becomes updates, as on the platform. */
import type { BotState, Chat, ChatState, Json, Line, Person } from './types.ts';

export interface SayOptions {
  /** Topic of a forum. */
  thread?: number;
  replyTo?: number;
  /** Members of the message as they are, for kinds a text cannot show. */
  more?: Json;
}

/** A chat from the outside. */
export interface FakeChat {
  readonly id: number;
  /** Somebody writes. Answers the message id and the update id. */
  say(text: string, options?: SayOptions & { as?: Person }): { messageId: number; updateId: number };
  edit(messageId: number, text: string): void;
  react(messageId: number, emoji: string): void;
  press(messageId: number, data: string): void;
  block(): void;
  unblock(): void;
  /** Everything visible, oldest first. */
  history(): Line[];
  /** What the bot said, oldest first. */
  answers(): string[];
}

export interface PersonSide {
  person(more?: Partial<Person>): FakeChat;
  group(more?: { id?: number; title?: string; forum?: boolean; topics?: number[] }): FakeChat;
  /** An update as the test spells it. */
  raw(update: Json): number;
}

export function personSide(bot: BotState, now: () => number, onUpdate: () => void): PersonSide {
  let nextPerson = 1_001;
  let nextGroup = -1_001;

  function push(update: Json): number {
    const id = bot.nextUpdateId++;
    bot.updates.push({ update_id: id, ...update });
    onUpdate();
    return id;
  }

  function open(chat: Chat, owner: Person, topics: number[]): FakeChat {
    const known = bot.chats.get(chat.id);
    const state: ChatState = known ?? { chat, lines: [], nextMessageId: 1, topics: new Set(topics), blocked: false };
    bot.chats.set(chat.id, state);
    const userOf = (person: Person) => ({ is_bot: false, ...person });
    const messageFor = (line: Line, as: Person, more: Json = {}): Json => ({
      message_id: line.messageId,
      from: userOf(as),
      chat,
      date: Math.floor(line.at / 1_000),
      ...(line.thread === undefined ? {} : { message_thread_id: line.thread, is_topic_message: true }),
      ...(line.replyTo === undefined ? {} : { reply_to_message: { message_id: line.replyTo, chat, date: 0 } }),
      text: line.text,
      ...more,
    });
    const member = (status: string) => ({
      my_chat_member: { chat, from: userOf(owner), date: Math.floor(now() / 1_000), new_chat_member: { status, user: bot.me } },
    });

    return {
      id: chat.id,
      say(text, { as = owner, thread, replyTo, more } = {}) {
        const line: Line = {
          messageId: state.nextMessageId++,
          from: 'person',
          text,
          ...(thread === undefined ? {} : { thread }),
          ...(replyTo === undefined ? {} : { replyTo }),
          at: now(),
        };
        state.lines.push(line);
        return { messageId: line.messageId, updateId: push({ message: messageFor(line, as, more) }) };
      },
      edit(messageId, text) {
        const line = state.lines.find((one) => one.messageId === messageId);
        if (line === undefined) throw new Error(`there is no message ${messageId}`);
        line.text = text;
        push({ edited_message: { ...messageFor(line, owner), edit_date: Math.floor(now() / 1_000) } });
      },
      react: (messageId, emoji) =>
        void push({
          message_reaction: {
            chat,
            message_id: messageId,
            user: userOf(owner),
            date: Math.floor(now() / 1_000),
            old_reaction: [],
            new_reaction: [{ type: 'emoji', emoji }],
          },
        }),
      press: (messageId, data) =>
        void push({
          callback_query: {
            id: `q${messageId}`,
            from: userOf(owner),
            data,
            message: { message_id: messageId, chat, date: Math.floor(now() / 1_000) },
          },
        }),
      block() {
        state.blocked = true;
        push(member('kicked'));
      },
      unblock() {
        state.blocked = false;
        push(member('member'));
      },
      history: () => state.lines.filter(({ deleted }) => deleted !== true),
      answers: () => state.lines.filter(({ from, deleted }) => from === 'bot' && deleted !== true).map(({ text }) => text),
    };
  }

  return {
    person(more = {}) {
      const person: Person = { id: nextPerson++, first_name: 'Ann', ...more };
      const chat: Chat = { id: person.id, type: 'private', first_name: person.first_name };
      if (person.username) chat.username = person.username;
      return open(chat, person, []);
    },
    group({ id = nextGroup--, title = 'Friends', forum = false, topics = [] } = {}) {
      const chat: Chat = { id, type: forum ? 'supergroup' : 'group', title, ...(forum ? { is_forum: true } : {}) };
      return open(chat, { id: nextPerson++, first_name: 'Ben' }, topics);
    },
    raw: push,
  };
}
