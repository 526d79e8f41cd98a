/**
 * Takes over the nodes of an earlier product from `nodes/paired.json` and `nodes/pending.json` in the state directory, once: what
 * is in the store is renamed to `*.imported`. A file that cannot be read counts as empty and stays, for somebody to look at.
 */
import { hash } from 'node:crypto';
import { readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { run } from './sql.ts';

type Json = Record<string, unknown>;

/** The store holds a thousand nodes; a file this long is none of theirs. */
const maxBytes = 16 * 1024 * 1024;
const maxRows = 1_000;

export function importNodes(db: DatabaseSync, stateDir: string): void {
  importFile(db, join(stateDir, 'nodes', 'paired.json'), (node) => {
    const { nodeId, token, createdAtMs, approvedAtMs, lastConnectedAtMs } = node;
    if (!isText(nodeId) || !isText(token)) return;
    // Whoever was paired here in the meantime is newer than the file.
    run(
      db,
      `INSERT OR IGNORE INTO nodes (node_id, token_hash, about, created_at, approved_at, last_connected_at) VALUES (?, ?, ?, ?, ?, ?)`,
      nodeId,
      hash('sha256', token, 'hex'),
      JSON.stringify(aboutOf(node)),
      momentOf(createdAtMs) ?? 0,
      momentOf(approvedAtMs) ?? 0,
      momentOf(lastConnectedAtMs) ?? null,
    );
  });
  importFile(db, join(stateDir, 'nodes', 'pending.json'), (request) => {
    const { requestId, nodeId, isRepair, silent, ts } = request;
    if (!isText(requestId) || !isText(nodeId)) return;
    run(
      db,
      'INSERT OR IGNORE INTO node_requests (request_id, node_id, is_repair, ts, about) VALUES (?, ?, ?, ?, ?)',
      requestId,
      nodeId,
      isRepair === true ? 1 : 0,
      momentOf(ts) ?? 0,
      JSON.stringify({ ...aboutOf(request), ...(silent === true ? { silent } : {}) }),
    );
  });
}

function importFile(db: DatabaseSync, path: string, insert: (entry: Json) => void): void {
  const entries = entriesOf(path);
  if (entries === undefined) return;
  db.exec('BEGIN IMMEDIATE');
  try {
    for (const entry of entries.slice(0, maxRows)) insert(entry);
    db.exec('COMMIT');
  } catch (error) {
    db.exec('ROLLBACK');
    throw error;
  }
  try {
    renameSync(path, `${path}.imported`);
  } catch {
    // As after a kill in between: the next start imports again, which changes nothing. It is no reason not to start.
  }
}

function entriesOf(path: string): Json[] | undefined {
  try {
    if (statSync(path).size > maxBytes) return undefined;
    const file = JSON.parse(readFileSync(path, 'utf8')) as unknown;
    return isObject(file) ? Object.values(file).filter(isObject) : undefined;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const momentOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? Math.max(0, Math.round(value)) : undefined;

const texts = ['displayName', 'platform', 'version', 'coreVersion', 'uiVersion', 'deviceFamily', 'modelIdentifier', 'remoteIp'] as const;
const lists = ['caps', 'commands', 'bins'] as const;

/** Members with the right shape; the token is none of them. */
function aboutOf(entry: Json): Json {
  const { permissions } = entry;
  const about: Json = {};
  for (const name of texts) if (isText(entry[name])) about[name] = entry[name];
  for (const name of lists) if (Array.isArray(entry[name])) about[name] = entry[name].filter(isText);
  if (isObject(permissions))
    about['permissions'] = Object.fromEntries(Object.entries(permissions).filter(([, value]) => typeof value === 'boolean'));
  return about;
}
