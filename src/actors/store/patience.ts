/** What to do while the store is away: it is restarted by its supervisor, or its disk finds room again. */
import { GatewayError } from '../../protocol/errors.ts';
import { StoreError } from './contract.ts';

/** The store, or whoever leads to it, could not do it now and may be able to soon. */
export const isOutage = (error: unknown): boolean =>
  error instanceof StoreError
    ? error.code === 'closed' || error.code === 'io' || error.code === 'overloaded'
    : error instanceof GatewayError && error.retryable === true;

const firstPauseMs = 100;
const longestPauseMs = 2_000;
/** By then the supervisors have given up too. */
const limitMs = 60_000;

/** Repeats a call for as long as the store is merely away. For what must not be forgotten because of a bad moment. */
export async function surely<T>(call: () => Promise<T>): Promise<T> {
  const until = performance.now() + limitMs;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
    try {
      return await call();
    } catch (error) {
      if (!isOutage(error) || performance.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs).unref());
  }
}
