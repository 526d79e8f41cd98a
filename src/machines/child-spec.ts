/** What a supervisor is told about its children. The words are those of OTP, and so is their meaning. */
import type { AnyActorLogic } from 'xstate';

/** Time and chance come from outside, so the same chart runs on the virtual clock of a test. */
export interface Env {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** In [0, 1). */
  random(): number;
}

export interface ChildSpec {
  /** Without `@` and without dots: `@` separates the epoch and a dot would confuse XState's event wildcards. */
  id: string;
  logic: AnyActorLogic;
  input?: unknown;
  systemId?: string;
  /** permanent: started again after any end; transient: after an abnormal one; temporary: never. */
  restart: 'permanent' | 'transient' | 'temporary';
  /** How long a polite end may take. 0: stopped without asking. */
  shutdownMs: number;
  /** When given, the child must report `child.up` within this time, and younger siblings wait for it. */
  startMs?: number;
}

export interface Backoff {
  /** The first restart comes at once; the second after this, then times `factor` each. */
  initialMs: number;
  factor: number;
  maxMs: number;
  /** Share of the delay that chance may add or take, 0 to 1. */
  jitter: number;
  /** A child that lived this long starts its back-off anew. */
  resetAfterMs: number;
}

export interface SupervisorSpec {
  name: string;
  strategy: 'one_for_one' | 'one_for_all' | 'rest_for_one';
  intensity: { max: number; withinMs: number };
  backoff?: Partial<Backoff>;
  /** What follows when restarts exceed the intensity: fail upwards, or rest the failing child for a while. */
  exhausted?: 'escalate' | { coolDownMs: number };
  /** `together`: all children are asked to leave at once. For equals without order, such as client sessions. */
  drain?: 'ordered' | 'together';
  /** In start order; the stop order is its reverse. */
  children: ChildSpec[];
}

/** 0, 250, 1000, 4000, then 10000 ms. */
export const defaultBackoff: Backoff = { initialMs: 250, factor: 4, maxMs: 10_000, jitter: 0.2, resetAfterMs: 60_000 };

/**
 * Milliseconds before the restart that follows `attempt` earlier ones in a row.
 * The exponent is clamped: `0 * factor ** 2000` would be NaN and a NaN delay fires at once.
 */
export function restartDelay(attempt: number, backoff: Backoff, random: () => number): number {
  if (attempt <= 0) return 0;
  const base = Math.min(backoff.maxMs, backoff.initialMs * backoff.factor ** Math.min(attempt - 1, 30));
  return Math.round(base * (1 + backoff.jitter * (2 * random() - 1)));
}
