/** The tables, as numbered steps: a step once released is never changed, a new need is a new step. */
import type { DatabaseSync } from 'node:sqlite';

const steps: readonly string[] = [
  `
  CREATE TABLE leases (owner TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT;
  CREATE TABLE cursors (id TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;

  CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL, account TEXT NOT NULL, dedupe_key TEXT NOT NULL,
    chat TEXT NOT NULL, thread TEXT, sender TEXT NOT NULL, ts INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    state TEXT NOT NULL, reason TEXT, run_id TEXT, updated_at INTEGER NOT NULL,
    UNIQUE (channel, account, dedupe_key)
  ) STRICT;
  CREATE INDEX journal_open ON journal (channel, account, id) WHERE state IN ('new', 'routed');

  CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE, channel TEXT NOT NULL, account TEXT NOT NULL, chat TEXT NOT NULL, lane TEXT NOT NULL,
    address TEXT NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, next_at INTEGER NOT NULL, platform_id TEXT, last_error TEXT,
    expires_at INTEGER NOT NULL, created_at INTEGER NOT NULL, settled_at INTEGER
  ) STRICT;
  CREATE INDEX outbox_open ON outbox (lane, id) WHERE state IN ('queued', 'sending');
  CREATE INDEX outbox_chat ON outbox (channel, account, chat, state);

  CREATE TABLE conversations (
    session_key TEXT PRIMARY KEY, session_id TEXT NOT NULL UNIQUE, agent_id TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, entry TEXT NOT NULL
  ) STRICT;
  CREATE INDEX conversations_recent ON conversations (updated_at);

  CREATE TABLE history (
    session_id TEXT NOT NULL, seq INTEGER NOT NULL, entry TEXT NOT NULL,
    PRIMARY KEY (session_id, seq)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, position INTEGER NOT NULL, session_key TEXT NOT NULL, session_id TEXT NOT NULL, agent_id TEXT NOT NULL,
    source TEXT NOT NULL, lane TEXT NOT NULL, address TEXT, request TEXT NOT NULL, journal_ids TEXT,
    state TEXT NOT NULL, starts INTEGER NOT NULL, accepted_at INTEGER NOT NULL, started_at INTEGER, ended_at INTEGER, final TEXT
  ) STRICT;
  CREATE UNIQUE INDEX runs_position ON runs (position);
  CREATE INDEX runs_open ON runs (position) WHERE state IN ('queued', 'active');

  CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, session_key TEXT NOT NULL, text TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT;
  CREATE INDEX notes_session ON notes (session_key, id);
  `,
  `
  -- What a run had said and asked for when it began something that must not happen twice.
  ALTER TABLE runs ADD COLUMN noted TEXT;
  `,
  `
  CREATE TABLE node_requests (
    request_id TEXT PRIMARY KEY, node_id TEXT NOT NULL UNIQUE, is_repair INTEGER NOT NULL, ts INTEGER NOT NULL, about TEXT NOT NULL
  ) STRICT;
  CREATE TABLE nodes (
    node_id TEXT PRIMARY KEY, token_hash TEXT NOT NULL, about TEXT NOT NULL,
    created_at INTEGER NOT NULL, approved_at INTEGER NOT NULL, last_connected_at INTEGER
  ) STRICT;
  `,
];

/** @throws Error when the file was written by a newer release: guessing at it could destroy it. */
export function applySchema(db: DatabaseSync): void {
  const { user_version: found } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (found > steps.length) throw new Error(`the store was written by a newer release (schema ${found}, this one knows ${steps.length})`);
  for (let step = found; step < steps.length; step += 1) {
    db.exec('BEGIN IMMEDIATE');
    db.exec(steps[step] as string);
    db.exec(`PRAGMA user_version = ${step + 1}`);
    db.exec('COMMIT');
  }
}
