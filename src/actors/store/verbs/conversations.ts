/** Conversations and what was said in them. */
import { randomUUID } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { ConversationRow, HistoryInput, HistoryRow, VerbParams } from '../contract.ts';
import { all, json, one, type Row, run } from '../sql.ts';

const toRow = (row: Row): ConversationRow => ({
  sessionKey: String(row['session_key']),
  sessionId: String(row['session_id']),
  agentId: String(row['agent_id']),
  createdAt: Number(row['created_at']),
  updatedAt: Number(row['updated_at']),
  entry: json(row['entry']) as Record<string, unknown>,
});

/** The conversation of a key, made when it is missing, with `entry` merged in. */
export function touch(
  db: DatabaseSync,
  sessionKey: string,
  agentId: string,
  now: number,
  entry?: Record<string, unknown>,
): ConversationRow {
  const row = one(
    db,
    `INSERT INTO conversations (session_key, session_id, agent_id, created_at, updated_at, entry) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (session_key) DO UPDATE SET updated_at = max(updated_at, excluded.updated_at), entry = json_patch(entry, excluded.entry)
     RETURNING *`,
    sessionKey,
    randomUUID(),
    agentId,
    now,
    now,
    JSON.stringify(entry ?? {}),
  );
  return toRow(row as Row);
}

export function list(db: DatabaseSync, { limit = 200 }: VerbParams<'conversations.list'>) {
  const rows = all(db, 'SELECT * FROM conversations ORDER BY updated_at DESC LIMIT ?', limit);
  const total = one(db, 'SELECT count(*) AS count FROM conversations');
  return { rows: rows.map(toRow), count: Number(total?.['count']) };
}

export function get(db: DatabaseSync, { sessionKey }: VerbParams<'conversations.get'>) {
  const row = one(db, 'SELECT * FROM conversations WHERE session_key = ?', sessionKey);
  return { row: row ? toRow(row) : null };
}

export function patch(db: DatabaseSync, { sessionKey, agentId, now, entry }: VerbParams<'conversations.patch'>) {
  return { row: touch(db, sessionKey, agentId, now, entry) };
}

export function appendHistory(db: DatabaseSync, sessionId: string, entries: HistoryInput[]): number {
  const last = one(db, 'SELECT max(seq) AS seq FROM history WHERE session_id = ?', sessionId);
  let seq = Number(last?.['seq'] ?? 0);
  for (const entry of entries) {
    seq += 1;
    run(db, 'INSERT INTO history (session_id, seq, entry) VALUES (?, ?, ?)', sessionId, seq, JSON.stringify(entry));
  }
  return seq;
}

export function append(db: DatabaseSync, { sessionKey, agentId, entries, now }: VerbParams<'history.append'>) {
  const { sessionId } = touch(db, sessionKey, agentId, now);
  return { sessionId, lastSeq: appendHistory(db, sessionId, entries) };
}

export function read(db: DatabaseSync, { sessionKey, limit }: VerbParams<'history.read'>) {
  const { row } = get(db, { sessionKey });
  if (row === null) return { sessionId: null, rows: [] };
  const rows = all(db, 'SELECT seq, entry FROM history WHERE session_id = ? ORDER BY seq DESC LIMIT ?', row.sessionId, limit);
  const history = rows.map(
    (entry) => ({ ...(json(entry['entry']) as HistoryInput), sessionId: row.sessionId, seq: Number(entry['seq']) }) satisfies HistoryRow,
  );
  return { sessionId: row.sessionId, rows: history.reverse() };
}
