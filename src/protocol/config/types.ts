/** The configuration with every default filled in, as the rest of the code reads it. */
export type BindMode = 'loopback' | 'lan' | 'tailnet' | 'auto' | 'custom';

export interface RetrySettings {
  attempts?: number;
  minDelayMs?: number;
  maxDelayMs?: number;
  jitter?: number;
}

export interface TelegramAccountConfig {
  enabled?: boolean;
  name?: string;
  botToken?: string;
  tokenFile?: string;
  apiRoot?: string;
  allowFrom?: (string | number)[];
  onUnknown?: 'ask' | 'hold' | 'resend';
  textChunkLimit?: number;
  timeoutSeconds?: number;
  linkPreview?: boolean;
  replyToMode?: 'off' | 'first' | 'all';
  retry?: RetrySettings;
}

export interface ProviderConfig {
  baseUrl: string;
  apiKey?: string;
  api?: 'openai-completions' | 'anthropic-messages';
  models?: { id: string; name?: string; contextWindow?: number; maxTokens?: number; reasoning?: boolean }[];
}

export interface Config {
  gateway: {
    mode?: 'local' | 'remote';
    port: number;
    bind: BindMode;
    customBindHost?: string;
    auth: { mode?: 'token' | 'password'; token?: string; password?: string };
    trustedProxies: string[];
    strictClientIds: boolean;
    maxPayload: number;
    maxBufferedBytes: number;
    controlUi: { allowedOrigins: string[]; allowedHosts: string[]; allowInsecureAuth: boolean; dangerouslyDisableDeviceAuth: boolean };
    nodes: { allowCommands: string[]; denyCommands: string[]; allowMethods: string[] };
    drainMs: number;
    shutdownMs: number;
    remote?: { url?: string; token?: string; password?: string };
  };
  agents: {
    defaults: {
      workspace: string;
      model?: string | { primary: string; fallbacks?: string[] };
      maxConcurrent: number;
      subagents: { maxConcurrent: number };
      timeoutSeconds: number;
      stallSeconds: number;
      resumeMaxMinutes: number;
      verboseDefault: 'off' | 'on' | 'full';
    };
    list: { id: string; default?: boolean; name?: string }[];
  };
  channels: {
    telegram?: TelegramAccountConfig & { accounts?: Record<string, TelegramAccountConfig> };
    whatsapp?: { enabled?: boolean };
  };
  session: {
    dmScope: 'main' | 'per-peer' | 'per-channel-peer' | 'per-account-channel-peer';
    mainKey: string;
    scope: 'per-sender' | 'global';
    identityLinks: Record<string, string[]>;
  };
  messages: {
    queue: {
      mode: 'steer' | 'followup' | 'collect' | 'steer-backlog' | 'queue' | 'interrupt';
      debounceMs: number;
      cap: number;
      drop: 'old' | 'new' | 'summarize';
      byChannel: Record<string, string>;
      debounceMsByChannel: Record<string, number>;
    };
  };
  commands: { restart: boolean };
  logging: { level: string; consoleLevel: string; file?: string; redactSensitive: 'off' | 'tools' };
  tools: { exec: { security?: 'deny' | 'allowlist' | 'full'; allowlist: string[]; timeoutSeconds: number } };
  models: { providers: Record<string, ProviderConfig> };
}

export interface ConfigIssue {
  /** Key path, or empty for the whole file. */
  path: string;
  message: string;
  level: 'error' | 'warning';
  /** No key of this release. Reading may bear with it, writing does not. */
  unknown?: true;
  /** Where in the file, counted from 1. */
  line?: number;
  column?: number;
}
