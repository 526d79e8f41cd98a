/**
 * Every configuration key this release reads: its shape, default, other sources, and what a change costs. Validation, help
 * and the reload plan read this table; a key that is not in it is kept, warned about, and does nothing.
 */
import { type TSchema, Type } from 'typebox';

/** none: read at next use · live: one actor told · actor: that actor restarts · soft: in-process restart */
export type ReloadClass = 'none' | 'live' | 'actor' | 'soft';

export interface ConfigKey {
  schema: TSchema;
  default?: unknown;
  env?: string;
  flag?: string;
  reload: ReloadClass;
  secret?: true;
  /** A valid key that this release does not act on: accepted, and said so. */
  inert?: true;
  /** Another name of this key, kept because files in circulation use it. */
  alias?: string;
}

const text = Type.String({ minLength: 1 });
const flag = Type.Boolean();
const port = Type.Integer({ minimum: 1, maximum: 65_535 });
const positive = Type.Integer({ minimum: 1 });
const count = Type.Integer({ minimum: 0 });
const texts = Type.Array(Type.String());
const peers = Type.Array(Type.Union([Type.String(), Type.Number()]));
const oneOf = (...values: string[]) => Type.Union(values.map((value) => Type.Literal(value)));

const telegram = {
  enabled: flag,
  name: Type.String(),
  botToken: text,
  tokenFile: text,
  apiRoot: text,
  allowFrom: peers,
  onUnknown: oneOf('ask', 'hold', 'resend'),
  textChunkLimit: positive,
  timeoutSeconds: positive,
  linkPreview: flag,
  replyToMode: oneOf('off', 'first', 'all'),
  retry: Type.Object({
    attempts: Type.Optional(positive),
    minDelayMs: Type.Optional(positive),
    maxDelayMs: Type.Optional(positive),
    jitter: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  }),
};
const telegramAccount = Type.Object(
  Object.fromEntries(Object.entries(telegram).map(([key, schema]) => [key, Type.Optional(schema as TSchema)])),
);

export const bindModes = ['loopback', 'lan', 'tailnet', 'auto', 'custom'] as const;
export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

export const configKeys = {
  'gateway.mode': { schema: oneOf('local', 'remote'), reload: 'soft' },
  'gateway.port': { schema: port, default: 18_789, env: 'OPENCLAW_GATEWAY_PORT', flag: '--port', reload: 'soft' },
  'gateway.bind': { schema: oneOf(...bindModes), default: 'loopback', flag: '--bind', reload: 'soft' },
  'gateway.customBindHost': { schema: text, reload: 'soft' },
  'gateway.auth.mode': { schema: oneOf('token', 'password'), flag: '--auth', reload: 'soft' },
  'gateway.auth.token': { schema: text, env: 'OPENCLAW_GATEWAY_TOKEN', flag: '--token', reload: 'soft', secret: true },
  'gateway.auth.password': { schema: text, env: 'OPENCLAW_GATEWAY_PASSWORD', flag: '--password', reload: 'soft', secret: true },
  // Both would only loosen or slow down what this release always demands, so ignoring them is safe.
  'gateway.auth.allowTailscale': { schema: flag, reload: 'soft', inert: true },
  'gateway.auth.rateLimit': { schema: Type.Object({}), reload: 'soft', inert: true },
  // Serving plain text where the file asks for TLS would be worse than not starting.
  'gateway.tls.enabled': { schema: Type.Literal(false), reload: 'soft' },
  ...Object.fromEntries(
    ['autoGenerate', 'certPath', 'keyPath', 'caPath'].map((key) => [
      `gateway.tls.${key}`,
      { schema: Type.Unknown(), reload: 'soft', inert: true },
    ]),
  ),
  'gateway.trustedProxies': { schema: texts, default: [], reload: 'soft' },
  'gateway.strictClientIds': { schema: flag, default: false, reload: 'none' },
  'gateway.maxPayload': { schema: Type.Integer({ minimum: 524_288 }), default: 8_388_608, reload: 'soft' },
  'gateway.maxBufferedBytes': { schema: Type.Integer({ minimum: 1_572_864 }), default: 8_388_608, reload: 'soft' },
  'gateway.controlUi.allowedOrigins': { schema: texts, default: [], reload: 'soft' },
  'gateway.controlUi.allowedHosts': { schema: texts, default: [], reload: 'soft' },
  'gateway.controlUi.allowInsecureAuth': { schema: flag, default: false, reload: 'soft' },
  'gateway.controlUi.dangerouslyDisableDeviceAuth': { schema: flag, default: false, reload: 'soft' },
  'gateway.nodes.allowCommands': { schema: texts, default: [], reload: 'soft' },
  'gateway.nodes.denyCommands': { schema: texts, default: [], reload: 'soft' },
  'gateway.nodes.allowMethods': { schema: texts, default: [], reload: 'soft' },
  'gateway.drainMs': {
    schema: Type.Integer({ minimum: 0, maximum: 600_000 }),
    default: 30_000,
    env: 'OPENCLAW_RESTART_DRAIN_MS',
    reload: 'none',
  },
  'gateway.shutdownMs': {
    schema: Type.Integer({ minimum: 1_000, maximum: 60_000 }),
    default: 5_000,
    env: 'OPENCLAW_SHUTDOWN_TIMEOUT_MS',
    reload: 'none',
  },
  'gateway.remote.url': { schema: text, reload: 'none' },
  'gateway.remote.token': { schema: text, reload: 'none', secret: true },
  'gateway.remote.password': { schema: text, reload: 'none', secret: true },
  'agents.defaults.workspace': { schema: text, reload: 'none' },
  'agents.defaults.model': { schema: Type.Union([text, Type.Object({ primary: text, fallbacks: Type.Optional(texts) })]), reload: 'none' },
  'agents.defaults.maxConcurrent': { schema: positive, default: 4, reload: 'live' },
  'agents.defaults.subagents.maxConcurrent': { schema: positive, default: 8, reload: 'live' },
  'agents.defaults.timeoutSeconds': { schema: positive, default: 600, reload: 'none' },
  'agents.defaults.stallSeconds': { schema: positive, default: 180, reload: 'none' },
  'agents.defaults.resumeMaxMinutes': { schema: positive, default: 10, reload: 'none' },
  'agents.defaults.verboseDefault': { schema: oneOf('off', 'on', 'full'), default: 'off', reload: 'none' },
  'agents.list': {
    schema: Type.Array(
      Type.Object({
        id: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$' }),
        default: Type.Optional(flag),
        name: Type.Optional(text),
      }),
    ),
    default: [],
    reload: 'none',
  },
  ...Object.fromEntries(
    Object.entries(telegram).map(([key, schema]) => [
      `channels.telegram.${key}`,
      {
        schema,
        reload: ['allowFrom', 'onUnknown', 'name', 'textChunkLimit', 'linkPreview', 'replyToMode'].includes(key) ? 'none' : 'actor',
        ...(key === 'botToken' ? { secret: true as const } : {}),
      } satisfies ConfigKey,
    ]),
  ),
  'channels.telegram.accounts': { schema: Type.Record(Type.String(), telegramAccount), reload: 'actor' },
  'channels.whatsapp.enabled': { schema: flag, reload: 'actor' },
  'session.dmScope': { schema: oneOf('main', 'per-peer', 'per-channel-peer', 'per-account-channel-peer'), default: 'main', reload: 'none' },
  'session.mainKey': { schema: text, default: 'main', reload: 'none' },
  'session.scope': { schema: oneOf('per-sender', 'global'), default: 'per-sender', reload: 'none' },
  'session.identityLinks': { schema: Type.Record(Type.String(), texts), default: {}, reload: 'none' },
  'messages.queue.mode': {
    schema: oneOf('steer', 'followup', 'collect', 'steer-backlog', 'queue', 'interrupt'),
    default: 'collect',
    reload: 'none',
  },
  'messages.queue.debounceMs': { schema: count, default: 1_000, reload: 'none' },
  'messages.queue.cap': { schema: positive, default: 20, reload: 'none' },
  'messages.queue.drop': { schema: oneOf('old', 'new', 'summarize'), default: 'summarize', reload: 'none' },
  'messages.queue.byChannel': { schema: Type.Record(Type.String(), Type.String()), default: {}, reload: 'none' },
  'messages.queue.debounceMsByChannel': { schema: Type.Record(Type.String(), count), default: {}, reload: 'none' },
  'commands.restart': { schema: flag, default: false, reload: 'live' },
  'logging.level': { schema: oneOf(...logLevels), default: 'info', env: 'OPENCLAW_LOG_LEVEL', reload: 'live' },
  'logging.consoleLevel': { schema: oneOf(...logLevels), default: 'info', env: 'OPENCLAW_CONSOLE_LEVEL', reload: 'live' },
  'logging.file': { schema: text, reload: 'live' },
  'logging.redactSensitive': { schema: oneOf('off', 'tools'), default: 'tools', reload: 'live' },
  // Without a value: anything for the owner in the main conversation, listed programs for everybody else.
  'tools.exec.security': { schema: oneOf('deny', 'allowlist', 'full'), reload: 'none' },
  'tools.exec.allowlist': { schema: texts, default: [], reload: 'none' },
  'tools.exec.timeoutSeconds': { schema: positive, default: 1_800, alias: 'tools.exec.timeoutSec', reload: 'none' },
  ...Object.fromEntries(
    ['host', 'ask', 'node', 'pathPrepend', 'safeBins', 'backgroundMs', 'cleanupMs', 'notifyOnExit', 'applyPatch'].map((key) => [
      `tools.exec.${key}`,
      { schema: Type.Unknown(), reload: 'none', inert: true } satisfies ConfigKey,
    ]),
  ),
  'models.providers': {
    schema: Type.Record(
      Type.String(),
      Type.Object({
        baseUrl: text,
        apiKey: Type.Optional(Type.String()),
        api: Type.Optional(oneOf('openai-completions', 'anthropic-messages')),
        models: Type.Optional(
          Type.Array(
            Type.Object({
              id: text,
              name: Type.Optional(text),
              contextWindow: Type.Optional(positive),
              maxTokens: Type.Optional(positive),
              reasoning: Type.Optional(flag),
            }),
          ),
        ),
      }),
    ),
    default: {},
    reload: 'none',
  },
} as Record<string, ConfigKey>;

/** Old and other names of keys, with the name the rest of the code knows. */
export const aliases: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(configKeys).flatMap(([key, { alias }]) => (alias === undefined ? [] : [[alias, key]])),
);

/** Sections without which a gateway still serves; an error in one of them switches off no more than that section. */
export const edgeSections = ['channels', 'commands', 'logging', 'messages'] as const;

/** Sections in which an unknown key could hide a mistake that costs safety. */
export const strictSections = ['gateway.auth', 'gateway.tls', 'tools.exec'] as const;
