/** The conversations used last, for lists that must not cost a look into the store. */
import type { ConversationRow, RunRow } from '../store/contract.ts';

export const maxRecent = 50;

export function createRecent(now: () => number) {
  /** Oldest first. */
  const rows = new Map<string, ConversationRow>();
  let count = 0;

  return {
    begin({ rows: stored, count: total }: { rows: readonly ConversationRow[]; count: number }) {
      rows.clear();
      for (const row of [...stored].reverse()) rows.set(row.sessionKey, row);
      count = total;
    },
    touch({ sessionKey, sessionId, agentId, endedAt = now() }: RunRow) {
      const known = rows.get(sessionKey);
      rows.delete(sessionKey);
      rows.set(sessionKey, {
        sessionKey,
        sessionId,
        agentId,
        createdAt: known?.createdAt ?? endedAt,
        updatedAt: endedAt,
        entry: known?.entry ?? {},
      });
      for (const oldest of rows.keys()) {
        if (rows.size <= maxRecent) break;
        rows.delete(oldest);
      }
    },
    opened() {
      count += 1;
    },
    /** Newest first, and how many there are in all. */
    list: () => ({ count, rows: [...rows.values()].reverse() }),
  };
}
