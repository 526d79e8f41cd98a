/** Removes what is past its time, so that no table grows for ever. Cosmetic for everybody else: a failure is tried again later. */
import { fromIo } from '../io.ts';
import type { Log } from '../log.ts';
import type { StorePort } from './contract.ts';
import { isOutage } from './patience.ts';

export interface SweeperPorts {
  store(): StorePort;
  now(): number;
  log: Log;
  /** Default: one minute after the start, when nobody waits for the disk, and every hour from then on. */
  firstMs?: number;
  everyMs?: number;
}

export const sweeper = ({ store, now, log, firstMs = 60_000, everyMs = 3_600_000 }: SweeperPorts) =>
  fromIo<unknown>(({ after }) => {
    const sweep = async () => {
      after(everyMs, sweep);
      try {
        const { removed } = await store().call('store.sweep', { now: now() });
        if (removed > 0) log.info({ removed }, 'rows past their time were removed');
      } catch (error) {
        if (!isOutage(error)) throw error;
      }
    };
    after(firstMs, sweep);
  });
