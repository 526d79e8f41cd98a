/** Things somebody asked to be remembered, per conversation. */
import type { DatabaseSync } from 'node:sqlite';
import type { Note, VerbParams } from '../contract.ts';
import { all, one, type Row } from '../sql.ts';

const toNote = (row: Row): Note => ({ id: Number(row['id']), text: String(row['text']), createdAt: Number(row['created_at']) });

export function add(db: DatabaseSync, { sessionKey, text, now }: VerbParams<'notes.add'>) {
  const row = one(db, 'INSERT INTO notes (session_key, text, created_at) VALUES (?, ?, ?) RETURNING *', sessionKey, text, now);
  return { note: toNote(row as Row) };
}

export function find(db: DatabaseSync, { sessionKey, query, limit }: VerbParams<'notes.find'>) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = all(db, 'SELECT * FROM notes WHERE session_key = ? ORDER BY id', sessionKey).map(toNote);
  return { notes: rows.filter(({ text }) => words.every((word) => text.toLowerCase().includes(word))).slice(-limit) };
}
