/** Prepared statements, made once per database and text. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';

const cache = new WeakMap<DatabaseSync, Map<string, StatementSync>>();

function prepare(db: DatabaseSync, sql: string): StatementSync {
  let statements = cache.get(db);
  if (statements === undefined) {
    statements = new Map();
    cache.set(db, statements);
  }
  let statement = statements.get(sql);
  if (statement === undefined) {
    statement = db.prepare(sql);
    statements.set(sql, statement);
  }
  return statement;
}

export type Row = Record<string, unknown>;

export const one = (db: DatabaseSync, sql: string, ...values: SQLInputValue[]) => prepare(db, sql).get(...values) as Row | undefined;
export const all = (db: DatabaseSync, sql: string, ...values: SQLInputValue[]) => prepare(db, sql).all(...values) as Row[];
/** @returns how many rows changed. */
export const run = (db: DatabaseSync, sql: string, ...values: SQLInputValue[]) => Number(prepare(db, sql).run(...values).changes);

/** Leaves out members that are NULL in the table: they are optional in the types. */
export function defined<T extends object>(row: T): T {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null && value !== undefined)) as T;
}

export const json = (text: unknown) => (typeof text === 'string' ? (JSON.parse(text) as unknown) : undefined);
