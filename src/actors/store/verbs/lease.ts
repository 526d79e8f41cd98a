/** Who owns what, under which epoch. */
import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../contract.ts';
import { one } from '../sql.ts';

export function claim(db: DatabaseSync, { owner }: { owner: string }) {
  const row = one(
    db,
    'INSERT INTO leases (owner, epoch) VALUES (?, 1) ON CONFLICT (owner) DO UPDATE SET epoch = epoch + 1 RETURNING epoch',
    owner,
  );
  return { epoch: Number(row?.['epoch']) };
}

/** @throws StoreError fenced, when somebody has claimed the owner since. */
export function checkFence(db: DatabaseSync, { owner, epoch }: { owner: string; epoch: number }): void {
  const current = one(db, 'SELECT epoch FROM leases WHERE owner = ?', owner)?.['epoch'];
  if (current !== epoch) throw new StoreError('fenced', `${owner} epoch ${epoch} is over (now ${String(current ?? 'none')})`);
}
