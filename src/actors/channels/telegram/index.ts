/** Telegram as a channel: its row in the table of channels. */
import { telegramPolicy } from '../../../machines/channel-account.ts';
import type { Channel } from '../channel.ts';
import { chunkText } from './format.ts';
import { telegramPoller } from './poller.ts';
import { telegramSender } from './sender.ts';
import { accountConfig, accountsOf } from './settings.ts';
import { parseTarget } from './target.ts';

export const telegram: Channel = {
  id: 'telegram',
  label: 'Telegram',
  policy: telegramPolicy,
  accounts: accountsOf,
  link: telegramPoller,
  sender: telegramSender,
  parseTarget,
  chunk: (text, config) => chunkText(text, config.channels.telegram?.textChunkLimit ?? 4_000),
  // The platform takes no id from us and cannot be asked: what was cut off may or may not have arrived.
  afterCrash: 'unknown',
  retry(config, accountId) {
    const { attempts = 3, minDelayMs = 400, maxDelayMs = 30_000, jitter = 0.1 } = accountConfig(config, accountId).retry ?? {};
    return { attempts, minDelayMs, maxDelayMs, jitter };
  },
  afterUnknown(config, accountId) {
    const plan = accountConfig(config, accountId).onUnknown ?? 'ask';
    if (plan !== 'ask') return { do: plan };
    return { do: 'ask', text: 'My last message may not have arrived. Send /resend to get it again.' };
  },
  rate: {
    account: { cap: 30, intervalMs: 1_000 },
    // One a second in the long run; a short burst is tolerated by the platform and reads better.
    chat: (chat) => (chat.startsWith('-') ? { cap: 20, intervalMs: 60_000 } : { cap: 5, intervalMs: 5_000 }),
  },
};
