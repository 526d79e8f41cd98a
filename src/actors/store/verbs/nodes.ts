/**
 * Nodes that asked to be paired and nodes that are. Of a token only its hash is kept: nobody who reads the file can be the node.
 * A request that nobody answered in time is as if it had never been made, whether or not somebody has removed its row.
 */
import { timingSafeEqual } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { NodeDescription, PairedNode, PendingNode } from '../../../protocol/nodes.ts';
import type { VerbParams } from '../contract.ts';
import { all, defined, json, one, type Row, run } from '../sql.ts';

const pendingMs = 300_000;
/** Each request asks a person, and each list goes out whole; nobody has as many machines. */
const maxPending = 100;
const maxPaired = 1_000;

const toPending = (row: Row): PendingNode => ({
  ...(json(row['about']) as NodeDescription & { silent?: boolean }),
  requestId: String(row['request_id']),
  nodeId: String(row['node_id']),
  isRepair: row['is_repair'] === 1,
  ts: Number(row['ts']),
});

const toPaired = (row: Row): PairedNode =>
  defined({
    ...(json(row['about']) as NodeDescription & { bins?: string[] }),
    nodeId: String(row['node_id']),
    createdAtMs: Number(row['created_at']),
    approvedAtMs: Number(row['approved_at']),
    lastConnectedAtMs: row['last_connected_at'] as number,
  });

export const forgetLate = (db: DatabaseSync, now: number) => run(db, 'DELETE FROM node_requests WHERE ts <= ?', now - pendingMs);

const isPaired = (db: DatabaseSync, nodeId: string) => one(db, 'SELECT 1 FROM nodes WHERE node_id = ?', nodeId) !== undefined;
const countOf = (db: DatabaseSync, table: 'nodes' | 'node_requests') =>
  Number(one(db, `SELECT count(*) AS count FROM ${table}`)?.['count']);

export function request(db: DatabaseSync, { node: { nodeId, ...about }, requestId, now }: VerbParams<'nodes.request'>) {
  forgetLate(db, now);
  const known = one(db, 'SELECT * FROM node_requests WHERE node_id = ?', nodeId);
  if (known) return { request: toPending(known), created: false };
  if (countOf(db, 'node_requests') >= maxPending) return { request: null, created: false };
  const row = one(
    db,
    'INSERT INTO node_requests (request_id, node_id, is_repair, ts, about) VALUES (?, ?, ?, ?, ?) RETURNING *',
    requestId,
    nodeId,
    isPaired(db, nodeId) ? 1 : 0,
    now,
    JSON.stringify(about),
  );
  return { request: toPending(row as Row), created: true };
}

export function list(db: DatabaseSync, { now }: VerbParams<'nodes.list'>) {
  forgetLate(db, now);
  return {
    pending: all(db, 'SELECT * FROM node_requests ORDER BY ts DESC, rowid DESC').map(toPending),
    paired: all(db, 'SELECT * FROM nodes ORDER BY approved_at DESC, rowid DESC').map(toPaired),
  };
}

export function get(db: DatabaseSync, { nodeId }: VerbParams<'nodes.get'>) {
  const row = one(db, 'SELECT * FROM nodes WHERE node_id = ?', nodeId);
  return { node: row ? toPaired(row) : null };
}

export function approve(db: DatabaseSync, { requestId, tokenHash, now }: VerbParams<'nodes.approve'>) {
  forgetLate(db, now);
  const request = one(db, 'SELECT * FROM node_requests WHERE request_id = ?', requestId);
  if (request === undefined) return { outcome: 'unknown' as const };
  const nodeId = String(request['node_id']);
  if (!isPaired(db, nodeId) && countOf(db, 'nodes') >= maxPaired) return { outcome: 'full' as const };
  // Answered once: whoever comes second finds nothing.
  run(db, 'DELETE FROM node_requests WHERE request_id = ?', requestId);
  const { silent: _hint, ...about } = json(request['about']) as NodeDescription & { silent?: boolean };
  const row = one(
    db,
    `INSERT INTO nodes (node_id, token_hash, about, created_at, approved_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (node_id) DO UPDATE SET token_hash = excluded.token_hash, about = excluded.about, approved_at = excluded.approved_at
     RETURNING *`,
    nodeId,
    tokenHash,
    JSON.stringify(about),
    now,
    now,
  );
  return { outcome: 'paired' as const, node: toPaired(row as Row) };
}

export function reject(db: DatabaseSync, { requestId, now }: VerbParams<'nodes.reject'>) {
  forgetLate(db, now);
  const request = one(db, 'DELETE FROM node_requests WHERE request_id = ? RETURNING node_id', requestId);
  return { nodeId: request ? String(request['node_id']) : null };
}

export function verify(db: DatabaseSync, { nodeId, tokenHash }: VerbParams<'nodes.verify'>) {
  const row = one(db, 'SELECT * FROM nodes WHERE node_id = ?', nodeId);
  const isRight = row !== undefined && timingSafeEqual(Buffer.from(String(row['token_hash'])), Buffer.from(tokenHash));
  return { node: isRight ? toPaired(row) : null };
}

export function rename(db: DatabaseSync, { nodeId, displayName }: VerbParams<'nodes.rename'>) {
  const changed = run(db, `UPDATE nodes SET about = json_set(about, '$.displayName', ?) WHERE node_id = ?`, displayName, nodeId);
  return { known: changed > 0 };
}

export function connected(db: DatabaseSync, { nodeIds, now }: VerbParams<'nodes.connected'>) {
  let known = 0;
  for (const nodeId of nodeIds) known += run(db, 'UPDATE nodes SET last_connected_at = ? WHERE node_id = ?', now, nodeId);
  return { known };
}
