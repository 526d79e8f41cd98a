/**
 * What happens to a journalled update: is it a message, may its sender speak to us, and whose conversation is it. One chat
 * strictly in order, chats side by side; control words overtake. Every row ends in exactly one state.
 */
import { GatewayError } from '../../../protocol/errors.ts';
import { isStopPhrase } from '../../../protocol/methods/chat-send.ts';
import { type JournalRow, type JournalState, StoreError } from '../../store/contract.ts';
import { isAskKey } from '../../store/outbox-keys.ts';
import type { AccountPorts } from '../channel.ts';
import type { InboundMessage } from '../contract.ts';
import type { TelegramApi } from './api.ts';
import { createChatQueues, persist } from './chat-queues.ts';
import { accountConfig } from './settings.ts';
import { fromStop } from './stop-text.ts';
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
  /** Fires when the link is over: what is left in the journal belongs to its successor. */
  signal: AbortSignal;
}

const resumeBatch = 1_000;
const maxResend = 10;

export function createIntake(ports: AccountPorts, accountId: string, { api, bot, fence, signal }: Link): Intake {
  const queues = createChatQueues();
  /** Per chat the row of its last "stop": what was written before it and has not begun is not begun any more. */
  const stoppedBy = new Map<string, number>();

  function take(rows: JournalRow[]) {
    for (const row of rows) {
      // A control word may not wait behind the very work it is to end.
      const isControl = row.kind === 'text' && isControlWord((row.body as UpdateBody).text ?? '');
      const key = chatKey(row);
      if (isControl) stoppedBy.set(key, row.id);
      queues.add(isControl ? `${key}:control` : key, () => persist(() => handle(row), rules(row)));
    }
  }

  const rules = (row: JournalRow) => ({
    signal,
    isPassing,
    onHopeless(error: unknown) {
      if (isFenced(error)) return;
      ports.log.warn({ journalId: row.id, error: (error as Error).name }, 'a message could not be handled');
      void end(row, 'failed', 'could not be handled').catch(() => {});
    },
  });

  async function handle(row: JournalRow): Promise<void> {
    // Its run is accepted and finds its own way.
    if (row.state === 'routed') return;
    const body = row.body as UpdateBody;
    const text = commandText(body.text ?? '');
    const reason = dropReason(row, body);
    if (reason !== undefined) return end(row, 'dropped', reason);
    const message = messageOf(row, body, text);
    if (isStopPhrase(text)) return stop(row, message);
    if (row.id < (stoppedBy.get(chatKey(row)) ?? 0)) return end(row, 'dropped', 'stopped');
    if (text === '/resend') {
      await resend(message);
      return end(row, 'handled');
    }
    const { ended } = await ports.inbound().deliver(message);
    startTyping(api, message.address, ended);
  }

  async function stop(row: JournalRow, message: InboundMessage): Promise<void> {
    // Whoever is being accepted at this moment is stopped as well.
    await queues.settled(chatKey(row));
    const stopped = await ports.inbound().stop(message.address, message.sender, message.chatType);
    await reply(row, message, fromStop(stopped));
    await end(row, 'handled');
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
    const { channel, account, chat, thread } = address;
    const { rows } = await ports.store().call('outbox.find', { channel, account, chat, state: 'unknown', limit: maxResend });
    // The offer to send again is not itself worth sending again.
    const wanted = rows.filter((row) => row.address.thread === thread && !isAskKey(row.key));
    for (const { id, lane } of wanted.reverse()) {
      await ports.store().call('outbox.mark', { id, state: 'queued', now: ports.now(), nextAt: ports.now() });
      ports.wake(lane);
    }
  }

  return {
    take,
    async resume() {
      // All of them before the first new one: the order of a chat is the order of the journal.
      for (let after = 0, more = true; more; ) {
        const { rows } = await ports
          .store()
          .call('journal.pending', { channel: 'telegram', account: accountId, after, limit: resumeBatch });
        take(rows);
        after = rows.at(-1)?.id ?? after;
        more = rows.length === resumeBatch;
      }
    },
  };
}

const chatKey = ({ chat, thread }: JournalRow) => `${chat}:${thread ?? ''}`;

const isFenced = (error: unknown) => error instanceof StoreError && error.code === 'fenced';

/** The store or the runs are away or full for a while; everything else will not get better by itself. */
const isPassing = (error: unknown) =>
  (error instanceof StoreError && ['closed', 'io', 'overloaded'].includes(error.code)) ||
  (error instanceof GatewayError && error.retryable === true);

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
