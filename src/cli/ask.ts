/** Asking a gateway from a command: connect, ask within the time of the command, leave. Never starts one. */
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { ConnectionError, connect, type GatewayClient, type RequestOptions } from '../protocol/client.ts';
import type { ShutdownEvent } from '../protocol/frames.ts';
import { type Call, integerOption } from './command.ts';
import { resolveTarget, type Target } from './target.ts';
import { cliVersion } from './version.ts';

const defaultTimeoutMs = 10_000;
/** How much longer than announced a restart may take before a command gives up. */
const restartGraceMs = 10_000;
const scopes = ['operator.admin', 'operator.approvals', 'operator.pairing'];

export interface Session {
  client: GatewayClient;
  target: Target;
  /** Like `client.request`, but within what is left of the time of the command. */
  ask<T = unknown>(method: string, params?: object, options?: RequestOptions): Promise<T>;
}

export const timeoutOf = ({ options }: Call): number =>
  integerOption('timeout', options['timeout'], { min: 1, max: 2 ** 31 - 1 }) ?? defaultTimeoutMs;

/** Connects, hands the session over, and leaves. An error carries the target, so that it can say who was asked. */
export async function withGateway<T>(call: Call, use: (session: Session) => Promise<T>, more: { timeoutMs?: number } = {}): Promise<T> {
  const timeoutMs = more.timeoutMs ?? timeoutOf(call);
  const target = await resolveTarget(call);
  const until = performance.now() + timeoutMs;
  let client: GatewayClient | undefined;
  try {
    client = await connectTo(target, timeoutMs);
    const session = client;
    return await use({
      client: session,
      target,
      ask: (method, params, options) => session.request(method, params, { timeoutMs: until - performance.now(), ...options }),
    });
  } catch (error) {
    throw error instanceof Error ? Object.assign(error, { target }) : error;
  } finally {
    client?.close();
  }
}

export function connectTo(target: Target, timeoutMs: number): Promise<GatewayClient> {
  const { url, token, password, stateDir } = target;
  return connect({
    url,
    timeoutMs,
    scopes,
    ...(token === undefined ? {} : { token }),
    ...(password === undefined ? {} : { password }),
    client: {
      id: 'cli',
      mode: 'cli',
      displayName: hostname(),
      version: cliVersion(),
      platform: process.platform,
      instanceId: instanceId(stateDir),
    },
  });
}

/** Stable per state directory without being written anywhere: a command that only asks leaves no trace. */
const instanceId = (stateDir: string) => `cli-${createHash('sha256').update(`${hostname()}:${stateDir}`).digest('hex').slice(0, 16)}`;

export interface PersistentRequest {
  method: string;
  /** Must carry the idempotency key: the request may be sent twice. */
  params: object;
  timeoutMs: number;
  expectFinal?: boolean;
  signal?: AbortSignal;
  /** Each connection the request is sent on. */
  onSession?(session: Session): void;
}

/**
 * One request that survives a restart of the gateway. The same request with the same key goes out again, once: the
 * gateway answers it with the end of the first, and never does it twice.
 */
export async function askThroughRestart<T>(
  call: Call,
  { method, params, timeoutMs, expectFinal = false, signal, onSession }: PersistentRequest,
): Promise<T> {
  const until = performance.now() + timeoutMs;
  const left = () => Math.max(1, until - performance.now());
  let restartMs: number | undefined;
  let isAccepted = false;
  const attempt = () =>
    withGateway(
      call,
      (session) => {
        session.client.on('shutdown', ({ payload }) => (restartMs = (payload as ShutdownEvent).restartExpectedMs ?? 0));
        onSession?.(session);
        return session.ask<T>(method, params, { expectFinal, onAccepted: () => (isAccepted = true), ...(signal ? { signal } : {}) });
      },
      { timeoutMs: left() },
    );
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof ConnectionError) || error.code === 0 || !(error.code === 1012 || restartMs !== undefined || isAccepted))
      throw error;
    const giveUpAt = performance.now() + Math.min(left(), (restartMs ?? 0) + restartGraceMs);
    for (;;) {
      await pause(250, signal);
      signal?.throwIfAborted();
      try {
        return await attempt();
      } catch (again) {
        if (!(again instanceof ConnectionError) || !again.isUnreachable || performance.now() > giveUpAt) throw again;
      }
    }
  }
}

/** Resolves after the time, or as soon as the signal says so. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
    if (signal?.aborted) end();
  });
}

/** Ctrl-C as a signal a wait can listen to. */
export function untilInterrupted(): { signal: AbortSignal; off(): void } {
  const abort = new AbortController();
  const handler = () => abort.abort(new Error('interrupted'));
  process.on('SIGINT', handler);
  return { signal: abort.signal, off: () => process.off('SIGINT', handler) };
}
