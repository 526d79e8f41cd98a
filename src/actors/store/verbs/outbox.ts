/** What leaves. One key, one row, one send; rows of a lane leave in the order they came. */
import type { DatabaseSync } from 'node:sqlite';
import { type OutboxInput, type OutboxRow, StoreError, type VerbParams, type VerbResult } from '../contract.ts';
import { askKey, isAskKey } from '../outbox-keys.ts';
import { all, defined, json, one, type Row, run } from '../sql.ts';

const defaultLifeMs = 24 * 3_600_000;

export const laneOf = ({ channel, account, chat, thread }: OutboxInput['address']) => [channel, account, chat, thread ?? ''].join(':');

function toRow(row: Row): OutboxRow {
  return defined({
    id: row['id'],
    key: row['key'],
    address: json(row['address']),
    lane: row['lane'],
    kind: row['kind'],
    payload: json(row['payload']),
    state: row['state'],
    attempts: row['attempts'],
    nextAt: row['next_at'],
    platformId: row['platform_id'],
    lastError: row['last_error'],
    expiresAt: row['expires_at'],
    createdAt: row['created_at'],
    settledAt: row['settled_at'],
  }) as unknown as OutboxRow;
}

export function insert(db: DatabaseSync, { rows, now }: VerbParams<'outbox.insert'>) {
  return { rows: rows.map((input) => insertOne(db, input, now)) };
}

export function insertOne(db: DatabaseSync, input: OutboxInput, now: number): OutboxRow & { created: boolean } {
  const { address, key, kind, payload } = input;
  const inserted = one(
    db,
    `INSERT INTO outbox (key, channel, account, chat, lane, address, kind, payload, state, attempts, next_at, expires_at, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', 0, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING *`,
    key,
    address.channel,
    address.account,
    address.chat,
    laneOf(address),
    JSON.stringify(address),
    kind,
    JSON.stringify(payload),
    now,
    input.expiresAt ?? now + defaultLifeMs,
    now,
  );
  if (inserted) return { ...toRow(inserted), created: true };
  const known = one(db, 'SELECT * FROM outbox WHERE key = ?', key) as Row;
  return { ...toRow(known), created: false };
}

export function get(db: DatabaseSync, { key }: VerbParams<'outbox.get'>) {
  const row = one(db, 'SELECT * FROM outbox WHERE key = ?', key);
  return { row: row ? toRow(row) : null };
}

export function lanes(db: DatabaseSync, { channel, account }: VerbParams<'outbox.lanes'>) {
  const rows = all(
    db,
    `SELECT lane, min(next_at) AS next_at, count(*) AS queued FROM outbox
     WHERE channel = ? AND account = ? AND state = 'queued' GROUP BY lane ORDER BY min(id)`,
    channel,
    account,
  );
  return { lanes: rows.map((row) => ({ lane: String(row['lane']), nextAt: Number(row['next_at']), queued: Number(row['queued']) })) };
}

const headOf = (db: DatabaseSync, lane: string) =>
  one(db, `SELECT * FROM outbox WHERE lane = ? AND state IN ('queued', 'sending') ORDER BY id LIMIT 1`, lane);

export function due(db: DatabaseSync, { lane }: VerbParams<'outbox.due'>) {
  const head = headOf(db, lane);
  return { at: head === undefined ? null : Math.min(Number(head['next_at']), Number(head['expires_at'])) };
}

export function claim(db: DatabaseSync, { lane, now }: VerbParams<'outbox.claim'>): VerbResult<'outbox.claim'> {
  for (;;) {
    const head = headOf(db, lane);
    if (head === undefined) return { row: null, nextAt: null };
    // Somebody is sending: the next of this lane waits, or the order would be a matter of luck.
    if (head['state'] === 'sending') return { row: null, nextAt: null, stuck: true };
    const id = Number(head['id']);
    if (Number(head['expires_at']) <= now) {
      run(db, `UPDATE outbox SET state = 'cancelled', last_error = 'expired', settled_at = ? WHERE id = ?`, now, id);
      continue;
    }
    if (Number(head['next_at']) > now) return { row: null, nextAt: Number(head['next_at']) };
    const claimed = one(db, `UPDATE outbox SET state = 'sending', attempts = attempts + 1 WHERE id = ? RETURNING *`, id) as Row;
    return { row: toRow(claimed), nextAt: null };
  }
}

const settled = new Set(['sent', 'failed', 'unknown', 'cancelled']);

export function mark(db: DatabaseSync, params: VerbParams<'outbox.mark'>) {
  const { id, state, now, nextAt, platformId, error, payload, ask } = params;
  const row = one(
    db,
    `UPDATE outbox SET state = ?, next_at = coalesce(?, next_at), platform_id = coalesce(?, platform_id),
       last_error = coalesce(?, last_error), payload = coalesce(?, payload), settled_at = ? WHERE id = ? RETURNING *`,
    state,
    nextAt ?? null,
    platformId ?? null,
    error ?? null,
    payload === undefined ? null : JSON.stringify(payload),
    settled.has(state) ? now : null,
    id,
  );
  if (row === undefined) throw new StoreError('not-found', `outbox row ${id} does not exist`);
  const marked = toRow(row);
  askAbout(db, marked, ask, now);
  return { row: marked };
}

/** A row of its own, so that the question is sent once and never about itself. */
function askAbout(db: DatabaseSync, { key, state, address }: OutboxRow, text: string | undefined, now: number): void {
  if (text === undefined || state !== 'unknown' || isAskKey(key)) return;
  const { replyTo: _replyTo, ...chat } = address;
  insertOne(db, { key: askKey(key), address: chat, kind: 'text', payload: { text } }, now);
}

/** The row goes altogether: its key was never used for anything anybody saw. */
export function withdraw(db: DatabaseSync, { key }: VerbParams<'outbox.withdraw'>) {
  const row = one(db, `DELETE FROM outbox WHERE key = ? AND state = 'queued' AND attempts = 0 RETURNING *`, key);
  return { row: row ? toRow(row) : null };
}

export function recover(db: DatabaseSync, { channel, account, to, now, except = [], ask }: VerbParams<'outbox.recover'>) {
  const rows = all(
    db,
    `UPDATE outbox SET state = ?, settled_at = ?, last_error = 'cut off while sending'
     WHERE channel = ? AND account = ? AND state = 'sending' AND lane NOT IN (SELECT value FROM json_each(?)) RETURNING *`,
    to,
    to === 'unknown' ? now : null,
    channel,
    account,
    JSON.stringify(except),
  );
  const recovered = rows.map(toRow);
  for (const row of recovered) askAbout(db, row, ask, now);
  return { rows: recovered };
}

export function find(db: DatabaseSync, { channel, account, chat, state, limit }: VerbParams<'outbox.find'>) {
  const rows = all(
    db,
    'SELECT * FROM outbox WHERE channel = ? AND account = ? AND chat = ? AND state = ? ORDER BY id DESC LIMIT ?',
    channel,
    account,
    chat,
    state,
    limit,
  );
  return { rows: rows.map(toRow) };
}

export function counts(db: DatabaseSync, { channel, account, since }: VerbParams<'outbox.counts'>) {
  const row = one(
    db,
    `SELECT count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE state = 'unknown') AS unknown,
       count(*) FILTER (WHERE state = 'failed' AND settled_at >= ?) AS failed,
       min(created_at) FILTER (WHERE state = 'queued') AS oldest FROM outbox WHERE channel = ? AND account = ?`,
    since,
    channel,
    account,
  ) as Row;
  return {
    queued: Number(row['queued']),
    unknown: Number(row['unknown']),
    failed: Number(row['failed']),
    oldestAt: row['oldest'] === null ? null : Number(row['oldest']),
  };
}
