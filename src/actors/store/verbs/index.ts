/** Every verb and what carries it out; a verb missing here does not compile. */
import type { DatabaseSync } from 'node:sqlite';
import type { StoreVerbs, VerbName } from '../contract.ts';
import { run } from '../sql.ts';
import * as conversations from './conversations.ts';
import * as journal from './journal.ts';
import * as lease from './lease.ts';
import * as nodes from './nodes.ts';
import * as notes from './notes.ts';
import * as outbox from './outbox.ts';
import * as runs from './runs.ts';

type Table = { [V in VerbName]: (db: DatabaseSync, params: StoreVerbs[V][0]) => StoreVerbs[V][1] };

const dayMs = 24 * 3_600_000;

/** Settled rows stay long enough to answer for themselves: rows 7 days, final answers of runs 24 h. */
function sweep(db: DatabaseSync, { now }: { now: number }) {
  const removed =
    run(db, `DELETE FROM outbox WHERE settled_at < ? AND state NOT IN ('queued', 'sending')`, now - 7 * dayMs) +
    run(db, `DELETE FROM journal WHERE updated_at < ? AND state NOT IN ('new', 'routed')`, now - 7 * dayMs) +
    run(db, 'DELETE FROM runs WHERE ended_at < ? AND final IS NOT NULL', now - dayMs) +
    nodes.forgetLate(db, now);
  return { removed };
}

export const verbs: Table = {
  'lease.claim': lease.claim,
  'journal.append': journal.append,
  'journal.pending': journal.pending,
  'journal.mark': journal.mark,
  'cursor.get': journal.cursor,
  'outbox.insert': outbox.insert,
  'outbox.get': outbox.get,
  'outbox.lanes': outbox.lanes,
  'outbox.due': outbox.due,
  'outbox.claim': outbox.claim,
  'outbox.mark': outbox.mark,
  'outbox.withdraw': outbox.withdraw,
  'outbox.recover': outbox.recover,
  'outbox.find': outbox.find,
  'outbox.counts': outbox.counts,
  'runs.accept': runs.accept,
  'runs.get': runs.get,
  'runs.start': runs.start,
  'runs.note': runs.note,
  'runs.finish': runs.finish,
  'runs.open': runs.open,
  'conversations.list': conversations.list,
  'conversations.get': conversations.get,
  'conversations.patch': conversations.patch,
  'history.append': conversations.append,
  'history.read': conversations.read,
  'notes.add': notes.add,
  'notes.find': notes.find,
  'nodes.request': nodes.request,
  'nodes.list': nodes.list,
  'nodes.get': nodes.get,
  'nodes.approve': nodes.approve,
  'nodes.reject': nodes.reject,
  'nodes.verify': nodes.verify,
  'nodes.rename': nodes.rename,
  'nodes.connected': nodes.connected,
  'store.sweep': sweep,
};
