/** Sends one outbox row with one platform call, and says what became of it. */
import { keepSecret } from '../../redact.ts';
import type { OutboxRow } from '../../store/contract.ts';
import type { AccountPorts } from '../channel.ts';
import type { Sender } from '../contract.ts';
import { createApi, failureOf, outcomeOf, type TelegramApi } from './api.ts';
import { toHtml } from './format.ts';
import { accountConfig, apiRootOf, tokenOf } from './settings.ts';
import { generalTopic } from './update.ts';

export function telegramSender(ports: AccountPorts, accountId: string): Sender {
  let api: Promise<TelegramApi> | undefined;
  return {
    async send(row, signal) {
      const config = ports.config();
      const { value: token } = tokenOf(config, accountId, ports.env);
      if (token === undefined) return { kind: 'retry', error: 'no bot token', counted: false };
      keepSecret(token);
      const { timeoutSeconds = 30 } = accountConfig(config, accountId);
      api ??= createApi(token, apiRootOf(config, accountId, ports.env), timeoutSeconds);
      try {
        const message = await (await api).sendMessage(
          chatId(row.address.chat),
          textOf(row),
          optionsOf(row, accountConfig(config, accountId)),
          signal as never,
        );
        return { kind: 'sent', platformId: String(message.message_id) };
      } catch (error) {
        return outcomeOf(failureOf(error), isPlain(row));
      }
    },
  };
}

export const chatId = (chat: string) => (/^-?\d+$/.test(chat) ? Number(chat) : chat);

const isPlain = (row: OutboxRow) => row.payload['plain'] === true;
const textOf = (row: OutboxRow) => (isPlain(row) ? row.payload.text : toHtml(row.payload.text));

function optionsOf(row: OutboxRow, { linkPreview, replyToMode }: ReturnType<typeof accountConfig>) {
  const { thread, replyTo } = row.address;
  return {
    ...(isPlain(row) ? {} : { parse_mode: 'HTML' as const }),
    // The general topic may not be named when sending.
    ...(thread === undefined || thread === generalTopic ? {} : { message_thread_id: Number(thread) }),
    ...(replyTo === undefined || replyToMode === 'off'
      ? {}
      : { reply_parameters: { message_id: Number(replyTo), allow_sending_without_reply: true } }),
    ...(linkPreview === false ? { link_preview_options: { is_disabled: true } } : {}),
  };
}
