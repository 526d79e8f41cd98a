/**
 * What happens to a journalled update: is it a message, may its sender speak to us, and whose conversation is it. One chat
 * strictly in order, chats side by side; control words overtake. Every row ends in exactly one state.
 */
import PQueue from 'p-queue';
import { isStopPhrase } from '../../../protocol/methods/chat-send.ts';
import { fromStop } from './stop-text.ts';
import type { JournalRow, JournalState } from '../../store/contract.ts';
import type { AccountPorts } from '../channel.ts';
import type { InboundMessage } from '../contract.ts';
import type { TelegramApi } from './api.ts';
import { accountConfig } from './settings.ts';
import { startTyping } from './typing.ts';
import type { UpdateBody } from './update.ts';

export interface Intake {
  /** Rows that a start found unfinished. */
  resume(): Promise<void>;
  take(rows: JournalRow[]): void;
}

interface Link {
  api: TelegramApi;
  bot: { id: number; username: string };
  fence: { owner: string; epoch: number };
}

const resumeBatch = 1_000;
const maxResend = 10;

export function createIntake(ports: AccountPorts, accountId: string, { api, bot, fence }: Link): Intake {
  const chats = new Map<string, PQueue>();

  function take(rows: JournalRow[]) {
    for (const row of rows) {
      const body = row.body as UpdateBody;
      // A control word may not wait behind the very work it is to end.
      const isControl = row.kind === 'text' && isControlWord(body.text ?? '');
      const key = `${row.chat}:${row.thread ?? ''}${isControl ? ':control' : ''}`;
      let queue = chats.get(key);
      if (queue === undefined) {
        queue = new PQueue({ concurrency: 1 });
        chats.set(key, queue);
        void queue.onIdle().then(() => chats.delete(key));
      }
      void queue.add(() =>
        handle(row).catch((error: unknown) =>
          ports.log.warn({ journalId: row.id, error: (error as Error).name }, 'a message could not be handled and stays in the journal'),
        ),
      );
    }
  }

  async function handle(row: JournalRow): Promise<void> {
    if (row.state === 'routed') return;
    const body = row.body as UpdateBody;
    const reason = dropReason(row, body);
    if (reason !== undefined) return end(row, 'dropped', reason);
    const text = commandText(body.text ?? '');
    const message = messageOf(row, body, text);
    if (isStopPhrase(text)) {
      const stopped = await ports.inbound().stop(message.address, message.sender, message.chatType);
      await reply(row, message, fromStop(stopped));
      return end(row, 'handled');
    }
    if (text === '/resend') {
      await resend(message);
      return end(row, 'handled');
    }
    const { ended } = await ports.inbound().deliver(message);
    startTyping(api, message.address, ended);
  }

  const end = async (row: JournalRow, state: JournalState, reason?: string) => {
    await ports.store().call('journal.mark', { ids: [row.id], state, ...(reason === undefined ? {} : { reason }) }, fence);
  };

  /** Why nobody answers this one; `undefined` when somebody does. */
  function dropReason(row: JournalRow, body: UpdateBody): string | undefined {
    if (row.kind !== 'text' || row.sender === String(bot.id)) return 'unsupported';
    const { allowFrom = [] } = accountConfig(ports.config(), accountId);
    if (isAllowed(allowFrom, row.sender, body.username)) return undefined;
    return body.chatType === 'private' ? 'dm-not-allowed' : 'sender-not-allowed';
  }

  /** `/help@our_bot now` → `/help now`: the name only says which bot of a group is meant. */
  const commandText = (text: string) => text.trim().replace(new RegExp(`^(/\\w+)@${bot.username}\\b`, 'i'), '$1');

  const messageOf = (row: JournalRow, body: UpdateBody, text: string): InboundMessage => ({
    journalId: row.id,
    address: {
      channel: 'telegram',
      account: accountId,
      chat: row.chat,
      ...(row.thread === undefined ? {} : { thread: row.thread }),
      ...(body.messageId === undefined || body.chatType === 'private' ? {} : { replyTo: String(body.messageId) }),
    },
    sender: {
      id: row.sender,
      ...(body.name === undefined ? {} : { name: body.name }),
      ...(body.username === undefined ? {} : { username: body.username }),
    },
    chatType: body.chatType === 'private' ? 'direct' : 'group',
    text,
    ts: row.ts,
  });

  async function reply(row: JournalRow, { address }: InboundMessage, text: string) {
    const { rows } = await ports.store().call('outbox.insert', {
      rows: [{ key: `reply:telegram:${accountId}:${row.id}`, address, kind: 'text', payload: { text } }],
      now: ports.now(),
    });
    for (const { lane } of rows) ports.wake(lane);
  }

  /** Whatever nobody could vouch for goes out again under its own key; the person asked for it and expects a copy. */
  async function resend({ address }: InboundMessage) {
    const { channel, account, chat } = address;
    const { rows } = await ports.store().call('outbox.find', { channel, account, chat, state: 'unknown', limit: maxResend });
    for (const { id, lane } of rows.reverse()) {
      await ports.store().call('outbox.mark', { id, state: 'queued', now: ports.now(), nextAt: ports.now() });
      ports.wake(lane);
    }
  }

  return {
    take,
    async resume() {
      const { rows } = await ports.store().call('journal.pending', { channel: 'telegram', account: accountId, limit: resumeBatch });
      take(rows);
    },
  };
}

const isControlWord = (text: string) => isStopPhrase(text.replace(/@\w+$/, ''));

/** Ids decide; names are a convenience, compared without regard to case. */
export function isAllowed(allowFrom: readonly (string | number)[], sender: string, username: string | undefined): boolean {
  return allowFrom.some((entry) => {
    const wanted = String(entry)
      .trim()
      .replace(/^(telegram|tg):/i, '');
    if (wanted === '*' || wanted === sender) return true;
    return username !== undefined && wanted.replace(/^@/, '').toLowerCase() === username.toLowerCase() && !/^-?\d+$/.test(wanted);
  });
}
