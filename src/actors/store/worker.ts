/**
 * The store's thread: the only code that touches the database file. Whatever waits at the port is done in one transaction
 * and answered after its commit, so a burst of writes costs one flush to disk and the main thread never waits for any.
 */
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { failPoint } from '../fail-points.ts';
import { StoreError, type StoreErrorCode, type VerbName } from './contract.ts';
import { importNodes } from './import-nodes.ts';
import { applySchema } from './schema.ts';
import { checkFence } from './verbs/lease.ts';
import { verbs } from './verbs/index.ts';

export interface VerbCall {
  id: number;
  verb: VerbName;
  params: unknown;
  fence?: { owner: string; epoch: number };
}

export type WorkerRequest = { type: 'open'; stateDir: string } | { type: 'calls'; calls: VerbCall[] } | { type: 'close' };

export interface VerbAnswer {
  id: number;
  result?: unknown;
  error?: { code: StoreErrorCode; message: string };
}

export type WorkerReport =
  | { type: 'opened' }
  | { type: 'failed'; message: string }
  | { type: 'answers'; answers: VerbAnswer[] }
  | { type: 'closed' };

/** Most verbs of one transaction: a longer one would let the first wait too long. */
const maxGroup = 64;

const port = parentPort;
if (port === null) throw new Error('the store worker runs in a worker thread only');
const say = (report: WorkerReport) => port.postMessage(report);

function open(stateDir: string): DatabaseSync {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const path = join(stateDir, 'gateway.db');
  const db = new DatabaseSync(path, { timeout: 3_000 });
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;');
  chmodSync(path, 0o600);
  applySchema(db);
  importNodes(db, stateDir);
  return db;
}

function execute(db: DatabaseSync, { id, verb, params, fence }: VerbCall): VerbAnswer {
  // A savepoint each: one verb that fails undoes itself and nobody else.
  db.exec('SAVEPOINT verb');
  try {
    if (fence) checkFence(db, fence);
    const handle = verbs[verb] as (db: DatabaseSync, params: unknown) => unknown;
    const result = handle(db, params);
    db.exec('RELEASE verb');
    return { id, result };
  } catch (error) {
    db.exec('ROLLBACK TO verb; RELEASE verb');
    return { id, error: shape(error) };
  }
}

/** SQLite's own words name tables and columns, never values. */
const shape = (error: unknown): { code: StoreErrorCode; message: string } =>
  error instanceof StoreError
    ? { code: error.code, message: error.message }
    : { code: 'io', message: error instanceof Error ? error.message : 'unknown' };

function commitGroup(db: DatabaseSync, group: VerbCall[]): VerbAnswer[] {
  try {
    db.exec('BEGIN IMMEDIATE');
    const answers = group.map((call) => execute(db, call));
    failPoint('store.write');
    db.exec('COMMIT');
    failPoint('store.committed');
    return answers;
  } catch (error) {
    // Nothing of the group is on disk, and nobody is told otherwise.
    if (db.isTransaction) db.exec('ROLLBACK');
    const problem = { code: 'io' as const, message: shape(error).message };
    return group.map(({ id }) => ({ id, error: problem }));
  }
}

let db: DatabaseSync | undefined;

/** The thread may be started ahead of the instance lock; the file is touched only when somebody who holds it says so. */
function begin(stateDir: string): void {
  try {
    db = open(stateDir);
    say({ type: 'opened' });
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    say({ type: 'failed', message: `${join(stateDir, 'gateway.db')}: ${code} ${message}` });
  }
}

function end(): void {
  db?.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db?.close();
  db = undefined;
  say({ type: 'closed' });
}

port.on('message', (first: WorkerRequest) => {
  let waiting: VerbCall[] = [];
  let isClosing = false;
  for (let request: WorkerRequest | undefined = first; request !== undefined; ) {
    if (request.type === 'open') begin(request.stateDir);
    else if (request.type === 'close') isClosing = true;
    else waiting.push(...request.calls);
    if (isClosing || waiting.length >= maxGroup) break;
    request = receiveMessageOnPort(port)?.message;
  }
  while (db !== undefined && waiting.length > 0) {
    say({ type: 'answers', answers: commitGroup(db, waiting.slice(0, maxGroup)) });
    waiting = waiting.slice(maxGroup);
  }
  if (isClosing) end();
});
