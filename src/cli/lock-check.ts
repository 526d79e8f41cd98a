/**
 * Whether a gateway owns a state directory. Its lock is an open transaction on a small database of its own, so asking is
 * trying the same for a moment; the file alone proves nothing.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const held = new Set([5, 6]); // SQLITE_BUSY, SQLITE_LOCKED

export async function isStateOwned(stateDir: string): Promise<boolean> {
  const path = join(stateDir, 'gateway.lock');
  if (!existsSync(path)) return false;
  const { DatabaseSync } = await import('node:sqlite');
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    db.exec('BEGIN EXCLUSIVE');
    return false;
  } catch (error) {
    if (held.has((error as { errcode?: number }).errcode ?? 0)) return true;
    throw error;
  } finally {
    db.close();
  }
}
