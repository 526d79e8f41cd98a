/**
 * What crosses the socket: the envelope of every frame, the handshake, and the payloads of events. One definition gives
 * the JSON Schema (`protocol:gen`), the AJV validator and the static type, so the three cannot drift apart.
 * Source of every shape: protocol version 3, sections 2, 3, 5 and 6.
 */
import { type Static, Type } from 'typebox';

export const PROTOCOL_VERSION = 3;

const strict = { additionalProperties: false } as const;
const text = Type.String({ minLength: 1 });
const count = Type.Integer({ minimum: 0 });
const positive = Type.Integer({ minimum: 1 });
/** Any key: spelled the way the clients' generator expects it. */
const anyKey = Type.String({ pattern: '^(.*)$' });

export const stateVersion = Type.Object({ presence: count, health: count }, strict);
export type StateVersion = Static<typeof stateVersion>;

export const errorShape = Type.Object(
  {
    code: text,
    message: text,
    details: Type.Optional(Type.Unknown()),
    retryable: Type.Optional(Type.Boolean()),
    retryAfterMs: Type.Optional(count),
  },
  strict,
);

export const requestFrame = Type.Object(
  { type: Type.Literal('req'), id: text, method: text, params: Type.Optional(Type.Unknown()) },
  strict,
);
export type RequestFrame = Static<typeof requestFrame>;

export const responseFrame = Type.Object(
  {
    type: Type.Literal('res'),
    id: text,
    ok: Type.Boolean(),
    payload: Type.Optional(Type.Unknown()),
    error: Type.Optional(errorShape),
  },
  strict,
);
export type ResponseFrame = Static<typeof responseFrame>;

export const eventFrame = Type.Object(
  {
    type: Type.Literal('event'),
    event: text,
    payload: Type.Optional(Type.Unknown()),
    seq: Type.Optional(count),
    stateVersion: Type.Optional(stateVersion),
  },
  strict,
);
export type EventFrame = Static<typeof eventFrame>;

export const gatewayFrame = Type.Union([requestFrame, responseFrame, eventFrame], { discriminator: 'type' });

/** First request of every connection. `client.id` and `client.mode` are open texts unless `gateway.strictClientIds` is on. */
export const connectParams = Type.Object(
  {
    minProtocol: positive,
    maxProtocol: positive,
    client: Type.Object(
      {
        id: Type.String({ minLength: 1, maxLength: 64 }),
        displayName: Type.Optional(text),
        version: text,
        platform: text,
        deviceFamily: Type.Optional(text),
        modelIdentifier: Type.Optional(text),
        mode: Type.String({ minLength: 1, maxLength: 64 }),
        instanceId: Type.Optional(text),
      },
      strict,
    ),
    caps: Type.Optional(Type.Array(text)),
    commands: Type.Optional(Type.Array(text)),
    permissions: Type.Optional(Type.Record(anyKey, Type.Boolean())),
    pathEnv: Type.Optional(Type.String()),
    role: Type.Optional(text),
    scopes: Type.Optional(Type.Array(text)),
    device: Type.Optional(Type.Object({ id: text, publicKey: text, signature: text, signedAt: count, nonce: Type.Optional(text) }, strict)),
    auth: Type.Optional(Type.Object({ token: Type.Optional(Type.String()), password: Type.Optional(Type.String()) }, strict)),
    locale: Type.Optional(Type.String()),
    userAgent: Type.Optional(Type.String()),
  },
  strict,
);
export type ConnectParams = Static<typeof connectParams>;

export const presenceEntry = Type.Object(
  {
    host: Type.Optional(text),
    ip: Type.Optional(text),
    version: Type.Optional(text),
    platform: Type.Optional(text),
    deviceFamily: Type.Optional(text),
    modelIdentifier: Type.Optional(text),
    mode: Type.Optional(text),
    lastInputSeconds: Type.Optional(count),
    reason: Type.Optional(text),
    tags: Type.Optional(Type.Array(text)),
    text: Type.Optional(Type.String()),
    ts: count,
    deviceId: Type.Optional(text),
    roles: Type.Optional(Type.Array(text)),
    scopes: Type.Optional(Type.Array(text)),
    instanceId: Type.Optional(text),
  },
  strict,
);
export type PresenceEntry = Static<typeof presenceEntry>;

export const snapshot = Type.Object(
  {
    presence: Type.Array(presenceEntry),
    health: Type.Unknown(),
    stateVersion,
    uptimeMs: count,
    configPath: Type.Optional(text),
    stateDir: Type.Optional(text),
    sessionDefaults: Type.Optional(
      Type.Object({ defaultAgentId: text, mainKey: text, mainSessionKey: text, scope: Type.Optional(text) }, strict),
    ),
  },
  strict,
);

export const helloOk = Type.Object(
  {
    type: Type.Literal('hello-ok'),
    protocol: positive,
    server: Type.Object({ version: text, commit: Type.Optional(text), host: Type.Optional(text), connId: text }, strict),
    features: Type.Object({ methods: Type.Array(text), events: Type.Array(text) }, strict),
    snapshot,
    canvasHostUrl: Type.Optional(text),
    auth: Type.Optional(Type.Object({ deviceToken: text, role: text, scopes: Type.Array(text), issuedAtMs: Type.Optional(count) }, strict)),
    policy: Type.Object({ maxPayload: positive, maxBufferedBytes: positive, tickIntervalMs: positive }, strict),
  },
  strict,
);
export type HelloOk = Static<typeof helloOk>;

export const tickEvent = Type.Object({ ts: count }, strict);
export const shutdownEvent = Type.Object({ reason: text, restartExpectedMs: Type.Optional(count) }, strict);
export type ShutdownEvent = Static<typeof shutdownEvent>;

/** Asks one node for a command. It answers with `node.invoke.result` under the same `id`. */
export const nodeInvokeRequestEvent = Type.Object(
  {
    id: text,
    nodeId: text,
    command: text,
    paramsJSON: Type.Optional(Type.String()),
    timeoutMs: Type.Optional(count),
    idempotencyKey: Type.Optional(text),
  },
  strict,
);
export type NodeInvokeRequestEvent = Static<typeof nodeInvokeRequestEvent>;

/** Progress of a run. `seq` counts per run from 1; `sessionKey` is there whenever the run belongs to a conversation. */
export const agentEvent = Type.Object(
  {
    runId: text,
    seq: count,
    stream: text,
    ts: count,
    data: Type.Record(anyKey, Type.Unknown()),
    sessionKey: Type.Optional(Type.String()),
  },
  strict,
);
export type AgentEvent = Static<typeof agentEvent>;

export const chatEvent = Type.Object(
  {
    runId: text,
    sessionKey: text,
    seq: count,
    state: Type.Union([Type.Literal('delta'), Type.Literal('final'), Type.Literal('aborted'), Type.Literal('error')]),
    message: Type.Optional(Type.Unknown()),
    errorMessage: Type.Optional(Type.String()),
    usage: Type.Optional(Type.Unknown()),
    stopReason: Type.Optional(Type.String()),
  },
  strict,
);
export type ChatEvent = Static<typeof chatEvent>;
