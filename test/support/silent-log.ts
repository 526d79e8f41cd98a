/** A log that keeps what it is told, for actors that run outside of a gateway. */
import type { Log } from '../../src/actors/log.ts';

export interface KeptLog extends Log {
  lines: { level: string; message: string; data: object }[];
}

export function keptLog(): KeptLog {
  const lines: KeptLog['lines'] = [];
  const at = (level: string) => (data: object, message: string) => void lines.push({ level, message, data });
  const log: KeptLog = {
    lines,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: () => log,
    isDebug: true,
    file: () => '',
    place: () => ({ file: '', before: 0 }),
    flush: () => {},
    close: () => {},
  };
  return log;
}
