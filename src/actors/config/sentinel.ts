/**
 * The restart note: who asked for a restart and how it went, kept over the restart in the state directory
 * (lifecycle 7.6). One file, so the last of several requests is the one that is told.
 */
import { join } from 'node:path';
import type { RestartWish } from '../../protocol/restart-wish.ts';
import type { Log } from '../log.ts';
import { writeWhole } from '../write-file.ts';

export interface SentinelPayload {
  kind: 'config-apply' | 'update' | 'restart';
  status: 'ok' | 'error' | 'skipped';
  ts: number;
  sessionKey?: string;
  message: string | null;
  stats: Record<string, unknown> & { mode: string };
}

export interface Sentinel {
  /** `null` when no restart follows, and the answer is all there is to tell. */
  path: string | null;
  payload: SentinelPayload;
}

export const sentinelPath = (stateDir: string) => join(stateDir, 'restart-sentinel.json');

const maxNote = 200;

export const noteOf = ({ note }: RestartWish): string | undefined => note?.trim().slice(0, maxNote) || undefined;

export function payloadOf(wish: RestartWish, more: Pick<SentinelPayload, 'kind' | 'status' | 'ts' | 'stats'>): SentinelPayload {
  const sessionKey = wish.sessionKey?.trim();
  const { kind, status, ts, stats } = more;
  return { kind, status, ts, ...(sessionKey ? { sessionKey } : {}), message: noteOf(wish) ?? null, stats };
}

/** A note that cannot be written holds up nothing. */
export async function writeSentinel(stateDir: string, payload: SentinelPayload, log: Log): Promise<Sentinel> {
  const path = sentinelPath(stateDir);
  try {
    await writeWhole(path, `${JSON.stringify({ version: 1, payload })}\n`);
    return { path, payload };
  } catch (error) {
    log.warn({ code: (error as NodeJS.ErrnoException).code }, 'the restart note cannot be written');
    return { path: null, payload };
  }
}
