/** What the parts of the fake know of each other. */

export type Json = Record<string, unknown>;

export interface Person {
  id: number;
  first_name: string;
  username?: string;
}

export interface Chat {
  id: number;
  type: 'private' | 'group' | 'supergroup';
  title?: string;
  username?: string;
  first_name?: string;
  is_forum?: boolean;
}

/** One line of a chat as the people in it see it. */
export interface Line {
  messageId: number;
  from: 'bot' | 'person';
  text: string;
  /** The text as it was sent, with its tags; absent for plain texts and people. */
  html?: string;
  thread?: number;
  replyTo?: number;
  at: number;
  deleted?: boolean;
}

export interface ChatState {
  chat: Chat;
  lines: Line[];
  nextMessageId: number;
  topics: Set<number>;
  /** The person has blocked the bot. */
  blocked: boolean;
}

export interface SeenCall {
  seq: number;
  botId: number;
  method: string;
  params: Json;
  at: number;
  /** When the answer was complete or the connection gone. */
  endedAt?: number;
  /** HTTP status of the answer, or `cut` when there was none. */
  outcome?: number | 'cut' | 'hungUp';
}

export interface BotState {
  token: string;
  me: { id: number; is_bot: true; first_name: string; username: string; can_join_groups: boolean; can_read_all_group_messages: boolean };
  chats: Map<number, ChatState>;
  updates: ({ update_id: number } & Json)[];
  nextUpdateId: number;
  webhook: string;
  commands: unknown[];
  /** The long poll that is open, ended by whoever asks next. */
  poll: { end(answer: 'conflict' | 'cut' | { status: number; body: string }): void } | undefined;
  /** How often a second `getUpdates` came while one was open. */
  overlaps: number;
  openPolls: number;
}
