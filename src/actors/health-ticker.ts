/** Looks at everybody's health once a minute, also when nothing happens (protocol 1). */
import { fromIo } from './io.ts';

const refreshMs = 60_000;

export const healthTicker = (refresh: () => void) =>
  fromIo<unknown>(({ guard }) => {
    refresh();
    const timer = setInterval(guard(refresh), refreshMs);
    return () => clearInterval(timer);
  });
