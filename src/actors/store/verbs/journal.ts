/** What arrived, before anybody looked at it. The platform hears an acknowledgement only after this committed. */
import type { DatabaseSync } from 'node:sqlite';
import type { JournalRow, VerbParams } from '../contract.ts';
import { all, defined, json, one, type Row, run } from '../sql.ts';

const maxBodyBytes = 64 * 1024;

function toRow(row: Row): JournalRow {
  return defined({
    id: row['id'],
    channel: row['channel'],
    account: row['account'],
    dedupeKey: row['dedupe_key'],
    chat: row['chat'],
    thread: row['thread'],
    sender: row['sender'],
    ts: row['ts'],
    kind: row['kind'],
    body: json(row['body']),
    state: row['state'],
    reason: row['reason'],
    runId: row['run_id'],
    updatedAt: row['updated_at'],
  }) as unknown as JournalRow;
}

export function append(db: DatabaseSync, { channel, account, updates, cursor }: VerbParams<'journal.append'>) {
  const rows: JournalRow[] = [];
  for (const update of updates) {
    const body = JSON.stringify(update.body ?? null);
    const inserted = one(
      db,
      `INSERT INTO journal (channel, account, dedupe_key, chat, thread, sender, ts, kind, body, state, updated_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'new', ?) ON CONFLICT DO NOTHING RETURNING *`,
      channel,
      account,
      update.dedupeKey,
      update.chat,
      update.thread ?? null,
      update.sender,
      update.ts,
      update.kind,
      // A body that is too large keeps its row: the message is answered for, only its content is not.
      body.length > maxBodyBytes ? JSON.stringify({ tooLarge: body.length }) : body,
      Date.now(),
    );
    if (inserted) rows.push(toRow(inserted));
  }
  if (cursor) {
    run(
      db,
      'INSERT INTO cursors (id, value) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = max(value, excluded.value)',
      cursor.id,
      cursor.value,
    );
  }
  return { rows };
}

export function pending(db: DatabaseSync, { channel, account, after = 0, limit = 1_000 }: VerbParams<'journal.pending'>) {
  const rows = all(
    db,
    `SELECT * FROM journal WHERE channel = ? AND account = ? AND id > ? AND state IN ('new', 'routed') ORDER BY id LIMIT ?`,
    channel,
    account,
    after,
    limit,
  );
  return { rows: rows.map(toRow) };
}

export function mark(db: DatabaseSync, { ids, state, reason, runId }: VerbParams<'journal.mark'>) {
  let changed = 0;
  for (const id of ids) {
    changed += run(
      db,
      'UPDATE journal SET state = ?, reason = coalesce(?, reason), run_id = coalesce(?, run_id), updated_at = ? WHERE id = ?',
      state,
      reason ?? null,
      runId ?? null,
      Date.now(),
      id,
    );
  }
  return { changed };
}

export function cursor(db: DatabaseSync, { id }: VerbParams<'cursor.get'>) {
  const row = one(db, 'SELECT value FROM cursors WHERE id = ?', id);
  return { value: row === undefined ? null : Number(row['value']) };
}
