/** Runs from their acceptance to their final answer. */
import type { DatabaseSync } from 'node:sqlite';
import { failPoint } from '../../fail-points.ts';
import { type RunFinal, type RunRow, StoreError, type VerbParams } from '../contract.ts';
import { all, defined, json, one, type Row, run } from '../sql.ts';
import { appendHistory, touch } from './conversations.ts';
import { mark as markJournal } from './journal.ts';
import { insertOne } from './outbox.ts';

function toRow(row: Row): RunRow {
  return defined({
    runId: row['run_id'],
    sessionKey: row['session_key'],
    sessionId: row['session_id'],
    agentId: row['agent_id'],
    source: row['source'],
    lane: row['lane'],
    address: json(row['address']),
    request: json(row['request']),
    journalIds: json(row['journal_ids']),
    state: row['state'],
    starts: row['starts'],
    acceptedAt: row['accepted_at'],
    startedAt: row['started_at'],
    endedAt: row['ended_at'],
    final: json(row['final']) as RunFinal | undefined,
    noted: json(row['noted']),
  }) as unknown as RunRow;
}

const find = (db: DatabaseSync, runId: string) => one(db, 'SELECT * FROM runs WHERE run_id = ?', runId);

export function accept(db: DatabaseSync, { run: input }: VerbParams<'runs.accept'>) {
  const known = find(db, input.runId);
  if (known) return { run: toRow(known), created: false, opened: false };
  const opened = one(db, 'SELECT 1 FROM conversations WHERE session_key = ?', input.sessionKey) === undefined;
  const { sessionId } = touch(db, input.sessionKey, input.agentId, input.acceptedAt);
  const row = one(
    db,
    `INSERT INTO runs (run_id, position, session_key, session_id, agent_id, source, lane, address, request, journal_ids, state, starts, accepted_at)
     VALUES (?, (SELECT coalesce(max(position), 0) + 1 FROM runs), ?, ?, ?, ?, ?, ?, ?, ?, 'queued', 0, ?) RETURNING *`,
    input.runId,
    input.sessionKey,
    sessionId,
    input.agentId,
    input.source,
    input.lane,
    input.address === undefined ? null : JSON.stringify(input.address),
    JSON.stringify(input.request),
    input.journalIds === undefined ? null : JSON.stringify(input.journalIds),
    input.acceptedAt,
  );
  if (input.journalIds) markJournal(db, { ids: input.journalIds, state: 'routed', runId: input.runId });
  return { run: toRow(row as Row), created: true, opened };
}

export function get(db: DatabaseSync, { runId }: VerbParams<'runs.get'>) {
  const row = find(db, runId);
  return { run: row ? toRow(row) : null };
}

export function start(db: DatabaseSync, { runId, now }: VerbParams<'runs.start'>) {
  const row = one(
    db,
    `UPDATE runs SET state = 'active', starts = starts + 1, started_at = ? WHERE run_id = ? AND state IN ('queued', 'active') RETURNING *`,
    now,
    runId,
  );
  if (row === undefined) throw new StoreError('conflict', `run ${runId} is not open`);
  return { run: toRow(row) };
}

export function note(db: DatabaseSync, { runId, entries }: VerbParams<'runs.note'>) {
  const changed = run(db, `UPDATE runs SET noted = ? WHERE run_id = ? AND state = 'active'`, JSON.stringify(entries), runId);
  if (changed === 0) throw new StoreError('conflict', `run ${runId} is not going on`);
  return {};
}

export function finish(db: DatabaseSync, params: VerbParams<'runs.finish'>) {
  const { runId, state, final, endedAt, history, outbox, entry } = params;
  const known = find(db, runId);
  if (known === undefined) throw new StoreError('not-found', `run ${runId} does not exist`);
  const before = toRow(known);
  if (before.final !== undefined) return { run: before, first: false, outbox: [] };
  const row = one(
    db,
    'UPDATE runs SET state = ?, ended_at = ?, final = ?, noted = NULL WHERE run_id = ? RETURNING *',
    state,
    endedAt,
    JSON.stringify(final),
    runId,
  );
  failPoint('run.final');
  touch(db, before.sessionKey, before.agentId, endedAt, entry);
  appendHistory(db, before.sessionId, history);
  if (before.journalIds)
    markJournal(db, { ids: before.journalIds, state: state === 'done' || state === 'aborted' ? 'handled' : 'failed', runId });
  const inserted = outbox.map((input) => insertOne(db, input, endedAt));
  failPoint('outbox.inserted');
  return { run: toRow(row as Row), first: true, outbox: inserted };
}

export function open(db: DatabaseSync) {
  return { runs: all(db, `SELECT * FROM runs WHERE state IN ('queued', 'active') ORDER BY position`).map(toRow) };
}
