import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it, onTestFinished } from 'vitest';
import type { RunInput } from '../../../src/actors/store/contract.ts';
import { startStore } from '../../support/start-store.ts';

const run: RunInput = {
  runId: 'r',
  sessionKey: 'agent:main:main',
  agentId: 'main',
  source: 'agent',
  lane: 'main',
  request: { message: 'hi' },
  acceptedAt: 1,
};

it('a file of the first release gets what was added since, and keeps what it holds', async () => {
  const first = await startStore();
  onTestFinished(() => first.remove());
  await first.store.call('runs.accept', { run });
  await first.close();
  // As the first release left it.
  const db = new DatabaseSync(join(first.stateDir, 'gateway.db'));
  db.exec('ALTER TABLE runs DROP COLUMN noted; DROP TABLE nodes; DROP TABLE node_requests; PRAGMA user_version = 1');
  db.close();
  const second = await startStore(first.stateDir);
  onTestFinished(() => second.close());
  await second.store.call('runs.start', { runId: 'r', now: 2 });
  const entries = [{ role: 'user' as const, content: [{ type: 'text', text: 'hi' }], timestamp: 1 }];
  await second.store.call('runs.note', { runId: 'r', entries });
  expect((await second.store.call('runs.open', {})).runs).toEqual([
    expect.objectContaining({ runId: 'r', state: 'active', noted: entries }),
  ]);
});

it('notes nothing for a run that is not going on, and forgets the note with its end', async () => {
  const { store, close, remove } = await startStore();
  onTestFinished(async () => {
    await close();
    remove();
  });
  await store.call('runs.accept', { run });
  await expect(store.call('runs.note', { runId: 'r', entries: [] })).rejects.toMatchObject({ code: 'conflict' });
  await store.call('runs.start', { runId: 'r', now: 2 });
  await store.call('runs.note', { runId: 'r', entries: [] });
  await store.call('runs.finish', { runId: 'r', state: 'done', final: { ok: true, payload: {} }, endedAt: 3, history: [], outbox: [] });
  expect((await store.call('runs.get', { runId: 'r' })).run).not.toHaveProperty('noted');
});
