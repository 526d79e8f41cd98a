/**
 * Decides whether a `connect` is granted. Pure: frames in, a verdict out, in the order of protocol 2.9, so that a client
 * is always told the first thing that is wrong. Device identities and Tailscale are not checked by this release.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import { type ErrorPayload, GatewayError } from '../../protocol/errors.ts';
import { type ConnectParams, connectParams, PROTOCOL_VERSION, requestFrame } from '../../protocol/frames.ts';
import { describeErrors, validatorOf } from '../../protocol/validate.ts';
import type { Remote } from './remote.ts';

/** The shared secret every connection has to know, on loopback too. */
export interface GatewayAuth {
  mode: 'token' | 'password';
  token?: string;
  password?: string;
}

export interface HandshakePolicy {
  auth: GatewayAuth;
  strictClientIds: boolean;
  /** Operator methods that nodes may call. */
  nodeMethods: readonly string[];
  controlUi: { allowInsecureAuth: boolean; dangerouslyDisableDeviceAuth: boolean };
}

export type Verdict =
  | { kind: 'granted'; id: string; params: ConnectParams; role: 'operator' | 'node'; scopes: string[] }
  | { kind: 'refused'; close: { code: number; reason: string }; response?: { id: string; error: ErrorPayload } };

const knownIds = new Set(
  ['openclaw', 'moltbot', 'clawdbot']
    .flatMap((brand) => ['control-ui', 'macos', 'ios', 'android', 'probe'].map((name) => `${brand}-${name}`))
    .concat(['webchat-ui', 'webchat', 'cli', 'gateway-client', 'node-host', 'test', 'fingerprint']),
);
const knownModes = new Set(['webchat', 'cli', 'ui', 'backend', 'node', 'probe', 'test']);
const controlUiIds = new Set(['openclaw-control-ui', 'moltbot-control-ui', 'clawdbot-control-ui']);

const refusal = (reason: string, code = 1008): Verdict => ({ kind: 'refused', close: { code, reason } });

function refused(id: string, error: GatewayError, code = 1008): Verdict {
  return { kind: 'refused', close: { code, reason: error.message }, response: { id, error: error.toPayload() } };
}

const invalid = (message: string, details?: unknown) => new GatewayError('INVALID_REQUEST', message, { details });

export function judge(text: string, remote: Remote, policy: HandshakePolicy): Verdict {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return refusal('invalid JSON');
  }
  if (!validatorOf('req', requestFrame)(frame)) return refusal('invalid request frame');
  const { id, method, params } = frame as { id: string; method: string; params?: unknown };
  if (method !== 'connect') return refused(id, invalid('invalid handshake: first request must be connect'));

  const validate = validatorOf('connect', connectParams);
  if (!validate(params ?? {})) return refused(id, invalid(`invalid connect params: ${describeErrors(validate.errors)}`));
  const connect = params as ConnectParams;
  const strictProblem = policy.strictClientIds ? strictClientProblem(connect) : undefined;
  if (strictProblem) return refused(id, invalid(`invalid connect params: ${strictProblem}`));

  if (connect.minProtocol > PROTOCOL_VERSION || connect.maxProtocol < PROTOCOL_VERSION) {
    return refused(id, invalid('protocol mismatch', { expectedProtocol: PROTOCOL_VERSION }), 1002);
  }
  const role = connect.role ?? 'operator';
  if (role !== 'operator' && role !== 'node') return refused(id, invalid('invalid role'));

  const isControlUi = controlUiIds.has(connect.client.id);
  const { allowInsecureAuth, dangerouslyDisableDeviceAuth } = policy.controlUi;
  if (isControlUi && !connect.device && !allowInsecureAuth && !dangerouslyDisableDeviceAuth) {
    return refused(id, invalid('Control UI needs a secure context (HTTPS or localhost) to identify this browser'));
  }
  const problem = sharedAuthProblem(connect, policy.auth, isControlUi);
  if (problem) return refused(id, problem);
  return { kind: 'granted', id, params: connect, role, scopes: effectiveScopes(connect, role) };
}

function strictClientProblem({ client }: ConnectParams): string | undefined {
  if (!knownIds.has(client.id)) return 'at /client/id: must be a known client id';
  return knownModes.has(client.mode.trim().toLowerCase()) ? undefined : 'at /client/mode: must be a known client mode';
}

/** A requested list as it is; an operator that asks for nothing gets everything (protocol 2.4). */
const effectiveScopes = ({ scopes }: ConnectParams, role: string): string[] =>
  scopes && scopes.length > 0 ? [...new Set(scopes)] : role === 'operator' ? ['operator.admin'] : [];

function sharedAuthProblem(connect: ConnectParams, auth: GatewayAuth, isControlUi: boolean): GatewayError | undefined {
  const given = auth.mode === 'token' ? connect.auth?.token : connect.auth?.password;
  const wanted = auth.mode === 'token' ? auth.token : auth.password;
  if (given && wanted && equalSecrets(given, wanted)) return undefined;
  const offersSomething = Boolean(connect.auth?.token || connect.auth?.password);
  // Nothing was offered that could stand in for a device: say that, it is what the client can mend.
  if (!offersSomething && !connect.device) return new GatewayError('NOT_PAIRED', 'device identity required');
  const kind = !wanted ? `${auth.mode} not configured on gateway` : given ? `${auth.mode} mismatch` : `${auth.mode} missing`;
  const isWebchat = isControlUi || connect.client.mode.trim().toLowerCase() === 'webchat' || connect.client.id === 'webchat-ui';
  const hint = isWebchat
    ? `enter the ${auth.mode} in Control UI settings`
    : `pass the gateway's ${auth.mode} (gateway.auth.${auth.mode}) as auth.${auth.mode}`;
  return invalid(`unauthorized: ${kind} (${hint})`);
}

/** Hashing first makes the lengths equal, so that the comparison says nothing about either. */
export function equalSecrets(a: string, b: string): boolean {
  return timingSafeEqual(hash('sha256', a, 'buffer'), hash('sha256', b, 'buffer'));
}
