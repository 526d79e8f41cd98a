/** What people and programs write when they mean a Telegram chat (channels.md 3.5). */
import { invalidRequest } from '../../../protocol/errors.ts';
import type { Target } from '../channel.ts';

export function parseTarget(to: string): Target {
  let text = to.trim();
  while (/^(telegram|tg):/i.test(text)) text = text.replace(/^(telegram|tg):/i, '');
  const isGroup = /^group:/i.test(text);
  text = text.replace(/^group:/i, '');
  const [, name] = /^(?:https?:\/\/)?t\.me\/([A-Za-z0-9_]+)\/?$/i.exec(text) ?? [];
  if (name) text = `@${name}`;
  const [, chat = '', thread] = /^(-?\d+|@?[A-Za-z][A-Za-z0-9_]*)(?::(?:topic:)?(\d+))?$/.exec(text) ?? [];
  if (chat === '') throw invalidRequest(`'${to.slice(0, 64)}' is no Telegram target: give a numeric chat id or @name`);
  const isNumeric = /^-?\d+$/.test(chat);
  if (!isNumeric && !chat.startsWith('@') && chat.length < 5)
    throw invalidRequest(`'${chat}' is too short for a Telegram name: give @name or a numeric chat id`);
  const resolved = isNumeric || chat.startsWith('@') ? chat : `@${chat}`;
  const kind = isGroup || resolved.startsWith('-') ? 'group' : 'dm';
  return { chat: resolved, kind, ...(thread === undefined ? {} : { thread }) };
}
