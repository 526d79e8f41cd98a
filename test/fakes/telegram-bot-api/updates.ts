/** The long poll: one per bot, confirmed by its offset, ended by the next one. */
import type { ServerResponse } from 'node:http';
import { type Answer, ok, refusal } from './faults.ts';
import type { BotState, Json } from './types.ts';

/** Not sent unless they are asked for. */
const notByDefault = new Set(['chat_member', 'message_reaction', 'message_reaction_count']);

const conflict = refusal(409, 'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running');
const webhookActive = refusal(
  409,
  "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
);

function isWanted(update: Json, allowed: readonly string[] | undefined): boolean {
  const kind = Object.keys(update).find((key) => key !== 'update_id') ?? '';
  return allowed === undefined || allowed.length === 0 ? !notByDefault.has(kind) : allowed.includes(kind);
}

export interface PollWorld {
  /** Calls when something new is there; gives back how to stop that. */
  onUpdate(wake: () => void): () => void;
  /** Tells whoever watches that updates were confirmed. */
  confirmed(): void;
}

export async function getUpdates(
  bot: BotState,
  params: Json,
  response: ServerResponse,
  { onUpdate, confirmed }: PollWorld,
): Promise<Answer> {
  if (bot.openPolls > 0) bot.overlaps += 1;
  // Whoever is waiting is sent away, not whoever comes.
  bot.poll?.end('conflict');
  if (bot.webhook !== '') return webhookActive;
  const {
    offset,
    limit = 100,
    timeout = 0,
    allowed_updates: given,
  } = params as { offset?: number; limit?: number; timeout?: number; allowed_updates?: unknown };
  const allowed = (typeof given === 'string' ? JSON.parse(given) : given) as string[] | undefined;
  const from = offset === undefined ? undefined : Number(offset);
  if (from !== undefined) bot.updates = from < 0 ? bot.updates.slice(from) : bot.updates.filter(({ update_id: id }) => id >= from);
  confirmed();
  const batch = () => bot.updates.filter((update) => isWanted(update, allowed)).slice(0, Math.min(100, Math.max(1, Number(limit))));

  bot.openPolls += 1;
  return new Promise<Answer>((resolve) => {
    let isOver = false;
    const finish = (answer: Answer) => {
      if (isOver) return;
      isOver = true;
      bot.openPolls -= 1;
      if (bot.poll === poll) bot.poll = undefined;
      clearTimeout(timer);
      stopListening();
      response.off('close', onClose);
      resolve(answer);
    };
    const poll: BotState['poll'] = {
      end(answer) {
        if (answer === 'cut') response.destroy();
        else finish(answer === 'conflict' ? conflict : answer);
      },
    };
    bot.poll = poll;
    const onClose = () => finish(ok([]));
    response.on('close', onClose);
    const look = () => {
      if (isOver) return;
      const updates = batch();
      if (updates.length > 0) finish(ok(updates));
    };
    const stopListening = onUpdate(look);
    const timer = setTimeout(() => finish(ok(batch())), Number(timeout) * 1_000);
    look();
  });
}
