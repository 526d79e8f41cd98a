/** What an account of the Telegram channel is configured with, and where its token comes from (channels.md 3.1). */
import { readFileSync } from 'node:fs';
import type { Config, TelegramAccountConfig } from '../../../protocol/config/types.ts';
import type { AccountSettings } from '../channel.ts';

type Environment = Record<string, string | undefined>;

export const defaultApiRoot = 'https://api.telegram.org';

/** Settings of an account: the channel's, overlaid with its own. Lists are replaced, not merged. */
export function accountConfig(config: Config, accountId: string): TelegramAccountConfig {
  const { accounts, ...shared } = config.channels.telegram ?? {};
  return { ...shared, ...accounts?.[accountId] };
}

export function accountIds(config: Config): string[] {
  const ids = Object.keys(config.channels.telegram?.accounts ?? {});
  return ids.length > 0 ? ids : ['default'];
}

export interface Token {
  value: string | undefined;
  source: 'config' | 'tokenFile' | 'env' | 'none';
}

export function tokenOf(config: Config, accountId: string, env: Environment): Token {
  const { accounts, ...shared } = config.channels.telegram ?? {};
  for (const layer of [accounts?.[accountId], shared]) {
    if (layer?.botToken) return { value: layer.botToken, source: 'config' };
    const fromFile = layer?.tokenFile ? firstLine(layer.tokenFile) : undefined;
    if (fromFile) return { value: fromFile, source: 'tokenFile' };
  }
  const fromEnv = accountId === 'default' ? env['TELEGRAM_BOT_TOKEN'] : undefined;
  return fromEnv ? { value: fromEnv, source: 'env' } : { value: undefined, source: 'none' };
}

function firstLine(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').split('\n')[0]?.trim() || undefined;
  } catch {
    return undefined;
  }
}

export const apiRootOf = (config: Config, accountId: string, env: Environment): string =>
  (accountConfig(config, accountId).apiRoot ?? (env['OPENCLAW_TELEGRAM_API_ROOT'] || defaultApiRoot)).replace(/\/+$/, '');

export function accountsOf(config: Config, env: Environment): AccountSettings[] {
  const hasBlock = config.channels.telegram !== undefined;
  const seen = new Set<string>();
  return accountIds(config).flatMap((accountId) => {
    const { value, source } = tokenOf(config, accountId, env);
    if (!hasBlock && value === undefined) return [];
    const enabled = accountConfig(config, accountId).enabled ?? value !== undefined;
    // Two pollers of one bot would end each other's requests for ever.
    const isDuplicate = value !== undefined && seen.has(value);
    if (value !== undefined) seen.add(value);
    const problem = isDuplicate ? 'duplicate-token: another account uses the same bot token' : undefined;
    return [
      {
        channel: 'telegram',
        accountId,
        enabled: enabled && !isDuplicate,
        configured: value !== undefined,
        tokenSource: source,
        ...(problem ? { problem } : {}),
      },
    ];
  });
}
