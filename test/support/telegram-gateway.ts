/** A gateway with bots on a fake platform, and a look at what it keeps on disk about their messages. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type FakeBot, type FakeTelegram, startTelegram } from '../fakes/telegram-bot-api/index.ts';
import { defaultConfig, type Gateway, type GatewayOptions, startGateway } from './gateway.ts';

export type Script = Record<string, Record<string, unknown>[]>;

export interface TelegramWorld {
  telegram: FakeTelegram;
  bot: FakeBot;
  gateway: Gateway;
  /** Replaces the gateway: after a kill, or with another configuration. */
  restart(options?: GatewayOptions): Promise<Gateway>;
  config(more?: TelegramConfig): Record<string, unknown>;
  close(): Promise<void>;
}

export interface TelegramConfig {
  /** Members of `channels.telegram`. */
  channel?: Record<string, unknown>;
  session?: Record<string, unknown>;
  agents?: Record<string, unknown>;
  tools?: Record<string, unknown>;
  /** Answers of the model: text → steps, `*` for all others. Without it every text is answered by `you said: …`. */
  script?: Script;
}

export function telegramConfig(
  telegram: FakeTelegram,
  bot: FakeBot,
  scriptPath: string,
  { channel, session, agents, tools }: TelegramConfig = {},
): Record<string, unknown> {
  return {
    ...defaultConfig,
    agents: { defaults: { model: `openclaw/script:${scriptPath}`, maxConcurrent: 8, ...agents } },
    session: { dmScope: 'per-channel-peer', ...session },
    ...(tools === undefined ? {} : { tools }),
    channels: { telegram: { botToken: bot.token, apiRoot: telegram.url, allowFrom: ['*'], ...channel } },
  };
}

export async function startTelegramWorld(more: TelegramConfig = {}, options: GatewayOptions = {}): Promise<TelegramWorld> {
  const telegram = await startTelegram();
  const bot = telegram.addBot();
  const folder = mkdtempSync(join(tmpdir(), 'openclaw-script-'));
  const scriptPath = join(folder, 'script.json');
  writeFileSync(scriptPath, JSON.stringify(more.script ?? {}));
  const config = (changed: TelegramConfig = {}) => telegramConfig(telegram, bot, scriptPath, { ...more, ...changed });
  const world: TelegramWorld = {
    telegram,
    bot,
    gateway: await startGateway({ config: config(), ...options }),
    async restart(next = {}) {
      // The config stays as it is on disk unless the test brings another one.
      world.gateway = await startGateway({ ...options, ...next, home: world.gateway.home });
      return world.gateway;
    },
    config,
    async close() {
      await world.gateway.close();
      await telegram.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return world;
}

export interface StoredRow {
  state: string;
  [column: string]: unknown;
}

/** Rows as they are on disk, read beside the running gateway. */
export function stored(gateway: Gateway, sql: string, ...values: (string | number)[]): StoredRow[] {
  const db = new DatabaseSync(join(gateway.stateDir, 'gateway.db'), { readOnly: true, timeout: 5_000 });
  try {
    return db.prepare(sql).all(...values) as unknown as StoredRow[];
  } finally {
    db.close();
  }
}

/** Waits for a condition nobody announces; looks often and gives up loudly. */
export async function eventually<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
  ms = 15_000,
): Promise<T> {
  const from = performance.now();
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() - from > ms) throw new Error(`${what} did not come true in ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
