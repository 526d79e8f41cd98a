/** Shows "typing…" while an answer is being made. Cosmetic: it has its own calls, and nobody waits for them or minds their failure. */
import type { Address } from '../../store/contract.ts';
import type { TelegramApi } from './api.ts';
import { chatId } from './sender.ts';

const intervalMs = 6_000;
/** Nobody types for longer; a forgotten indicator would lie. */
const maxMs = 600_000;

export function startTyping(api: TelegramApi, { chat, thread }: Address, until: Promise<unknown>): void {
  const show = () => {
    api.sendChatAction(chatId(chat), 'typing', thread === undefined ? {} : { message_thread_id: Number(thread) }).catch(() => {});
  };
  show();
  const timer = setInterval(show, intervalMs).unref();
  const limit = setTimeout(() => clearInterval(timer), maxMs).unref();
  void until.finally(() => {
    clearInterval(timer);
    clearTimeout(limit);
  });
}
