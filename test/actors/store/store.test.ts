import fc from 'fast-check';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { OutboxInput, RunInput } from '../../../src/actors/store/contract.ts';
import { startStore } from '../../support/start-store.ts';

type World = Awaited<ReturnType<typeof startStore>>;
const worlds: World[] = [];
const start = async (stateDir?: string) => {
  const world = await startStore(stateDir);
  worlds.push(world);
  return world;
};
afterEach(() => {
  for (const world of worlds.splice(0)) {
    world.kill();
    world.remove();
  }
});

const update = (n: number, chat = '7') => ({ dedupeKey: `update:${n}`, chat, sender: '7', ts: n, kind: 'text', body: { text: `m${n}` } });
const runOf = (runId: string, more: Partial<RunInput> = {}): RunInput => ({
  runId,
  sessionKey: 'agent:main:main',
  agentId: 'main',
  source: 'agent',
  lane: 'main',
  request: { message: 'hi' },
  acceptedAt: 1_000,
  ...more,
});
const message = (key: string, chat = '7'): OutboxInput => ({
  key,
  address: { channel: 'telegram', account: 'default', chat },
  kind: 'text',
  payload: { text: key },
});
const finalOf = (runId: string) => ({ ok: true, payload: { runId, status: 'ok' } });

it('keeps its file to its owner', async () => {
  const { stateDir } = await start();
  expect(statSync(join(stateDir, 'gateway.db')).mode & 0o777).toBe(0o600);
});

it('F-10 moves the cursor with the rows it covers, never back, and skips what it has seen', async () => {
  const { store } = await start();
  const append = (from: number, to: number, cursor: number) =>
    store.call('journal.append', {
      channel: 'telegram',
      account: 'default',
      updates: Array.from({ length: to - from + 1 }, (_, index) => update(from + index)),
      cursor: { id: 'telegram:1', value: cursor },
    });
  expect((await append(1, 3, 3)).rows.map(({ id }) => id)).toEqual([1, 2, 3]);
  expect((await append(2, 5, 5)).rows.map(({ dedupeKey }) => dedupeKey)).toEqual(['update:4', 'update:5']);
  await append(1, 1, 1);
  expect(await store.call('cursor.get', { id: 'telegram:1' })).toEqual({ value: 5 });
  expect(await store.call('cursor.get', { id: 'telegram:2' })).toEqual({ value: null });
});

it('F-10 holds for any order of arrival: nothing at or below the cursor lacks a row', async () => {
  const { store } = await start();
  let round = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 }), async (batches) => {
      round += 1;
      const id = `bot:${round}`;
      const account = `a${round}`;
      let confirmed = 0;
      const seen = new Set<number>();
      for (const size of batches) {
        // The platform offers again whatever lies above the confirmed cursor, with some overlap.
        const from = Math.max(1, confirmed - 2);
        const updates = Array.from({ length: size }, (_, index) => from + index);
        for (const n of updates) seen.add(n);
        confirmed = Math.max(confirmed, from + size - 1);
        await store.call('journal.append', {
          channel: 'telegram',
          account,
          updates: updates.map((n) => update(n)),
          cursor: { id, value: confirmed },
        });
      }
      const { rows } = await store.call('journal.pending', { channel: 'telegram', account });
      expect(rows.map(({ ts }) => ts)).toEqual([...seen].sort((a, b) => a - b));
      expect((await store.call('cursor.get', { id })).value).toBe(Math.max(...seen));
    }),
    { numRuns: 25 },
  );
});

it('undoes only the verb that fails when many share a commit', async () => {
  const { store } = await start();
  const results = await Promise.allSettled([
    store.call('outbox.insert', { rows: [message('a')], now: 1 }),
    store.call('outbox.mark', { id: 999, state: 'sent', now: 1 }),
    store.call('outbox.insert', { rows: [message('b')], now: 1 }),
  ]);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect((await store.call('outbox.get', { key: 'b' })).row?.state).toBe('queued');
});

it('refuses writes of an owner that somebody has taken over', async () => {
  const { store } = await start();
  const owner = 'account:telegram:default';
  const { epoch } = await store.call('lease.claim', { owner });
  const append = (fence: { owner: string; epoch: number }) =>
    store.call('journal.append', { channel: 'telegram', account: 'default', updates: [update(1)] }, fence);
  const next = await store.call('lease.claim', { owner });
  expect(next.epoch).toBe(epoch + 1);
  await expect(append({ owner, epoch })).rejects.toMatchObject({ code: 'fenced' });
  await expect(append({ owner, epoch: next.epoch })).resolves.toMatchObject({ rows: [{ id: 1 }] });
});

it('A-013 answers a repeated key with the stored run, also after a restart', async () => {
  const first = await start();
  const accepted = await first.store.call('runs.accept', { run: runOf('key-1') });
  expect(accepted.created).toBe(true);
  expect((await first.store.call('runs.accept', { run: runOf('key-1', { request: { message: 'other' } }) })).created).toBe(false);
  await first.store.call('runs.finish', {
    runId: 'key-1',
    state: 'done',
    final: finalOf('key-1'),
    endedAt: 2_000,
    history: [],
    outbox: [],
  });
  await first.close();
  const second = await start(first.stateDir);
  const again = await second.store.call('runs.accept', { run: runOf('key-1') });
  expect(again).toMatchObject({ created: false, run: { state: 'done', final: finalOf('key-1'), request: { message: 'hi' } } });
});

it('F-04 keeps accepted runs in their order over a kill', async () => {
  const first = await start();
  await Promise.all(Array.from({ length: 20 }, (_, n) => first.store.call('runs.accept', { run: runOf(`r${n}`) })));
  first.kill();
  const second = await start(first.stateDir);
  const { runs } = await second.store.call('runs.open', {});
  expect(runs.map(({ runId }) => runId)).toEqual(Array.from({ length: 20 }, (_, n) => `r${n}`));
});

it('A-068 ends a run with its history, its messages and its journal rows in one step, and only once', async () => {
  const { store } = await start();
  const { rows } = await store.call('journal.append', { channel: 'telegram', account: 'default', updates: [update(1)] });
  const journalId = rows[0]?.id as number;
  await store.call('runs.accept', { run: runOf('r1', { journalIds: [journalId], source: 'channel' }) });
  const finish = () =>
    store.call('runs.finish', {
      runId: 'r1',
      state: 'done',
      final: finalOf('r1'),
      endedAt: 2_000,
      history: [{ role: 'user', content: [{ type: 'text', text: 'hi' }], timestamp: 1 }],
      outbox: [message('run:r1:1')],
    });
  const done = await finish();
  expect(done).toMatchObject({ first: true, outbox: [{ key: 'run:r1:1', state: 'queued' }] });
  expect(await finish()).toMatchObject({ first: false, outbox: [] });
  expect((await store.call('journal.pending', { channel: 'telegram', account: 'default' })).rows).toEqual([]);
  expect((await store.call('history.read', { sessionKey: 'agent:main:main', limit: 10 })).rows).toHaveLength(1);
});

it('F-05 gives one row per key, whoever inserts it', async () => {
  const { store } = await start();
  const inserted = await Promise.all(Array.from({ length: 4 }, () => store.call('outbox.insert', { rows: [message('run:1:1')], now: 1 })));
  expect(inserted.map(({ rows }) => rows[0]?.created)).toEqual([true, false, false, false]);
  expect(new Set(inserted.map(({ rows }) => rows[0]?.id)).size).toBe(1);
});

it('lets the rows of a lane leave one by one in their order, and other lanes pass', async () => {
  const { store } = await start();
  await store.call('outbox.insert', { rows: [message('a1'), message('b1', '8'), message('a2')], now: 1 });
  const lane = 'telegram:default:7:';
  const first = await store.call('outbox.claim', { lane, now: 2 });
  expect(first.row).toMatchObject({ key: 'a1', state: 'sending', attempts: 1 });
  expect(await store.call('outbox.claim', { lane, now: 2 })).toEqual({ row: null, nextAt: null, stuck: true });
  expect((await store.call('outbox.claim', { lane: 'telegram:default:8:', now: 2 })).row?.key).toBe('b1');
  await store.call('outbox.mark', { id: first.row?.id as number, state: 'queued', nextAt: 500, now: 3 });
  expect(await store.call('outbox.claim', { lane, now: 4 })).toEqual({ row: null, nextAt: 500 });
  expect((await store.call('outbox.claim', { lane, now: 500 })).row).toMatchObject({ key: 'a1', attempts: 2 });
});

it('withdraws only what was never attempted, and frees its key', async () => {
  const { store } = await start();
  await store.call('outbox.insert', { rows: [message('send:k')], now: 1 });
  expect((await store.call('outbox.withdraw', { key: 'send:k' })).row?.key).toBe('send:k');
  expect((await store.call('outbox.insert', { rows: [message('send:k')], now: 2 })).rows[0]?.created).toBe(true);
  await store.call('outbox.claim', { lane: 'telegram:default:7:', now: 3 });
  expect((await store.call('outbox.withdraw', { key: 'send:k' })).row).toBeNull();
});

it('cancels rows whose time is over instead of sending them late', async () => {
  const { store } = await start();
  await store.call('outbox.insert', { rows: [{ ...message('old'), expiresAt: 10 }, message('new')], now: 1 });
  expect((await store.call('outbox.claim', { lane: 'telegram:default:7:', now: 20 })).row?.key).toBe('new');
  expect((await store.call('outbox.get', { key: 'old' })).row).toMatchObject({ state: 'cancelled', lastError: 'expired' });
});

it('answers what was sent before the end and refuses what comes after it', async () => {
  const world = await start();
  const { store } = world;
  const writes = Array.from({ length: 200 }, (_, n) => store.call('outbox.insert', { rows: [message(`k${n}`)], now: 1 }));
  const closing = world.close();
  await expect(Promise.all(writes)).resolves.toHaveLength(200);
  await closing;
  await expect(store.call('outbox.get', { key: 'k1' })).rejects.toMatchObject({ code: 'closed' });
});

it('says why when the file cannot be opened', async () => {
  await expect(startStore('/dev/null/state')).rejects.toMatchObject({ code: 'store-unavailable', exitCode: 74 });
});

it('remembers notes by their words', async () => {
  const { store } = await start();
  await store.call('notes.add', { sessionKey: 's', text: 'the door code is 42', now: 1 });
  await store.call('notes.add', { sessionKey: 's', text: 'buy milk', now: 2 });
  expect((await store.call('notes.find', { sessionKey: 's', query: 'code Door', limit: 5 })).notes.map(({ text }) => text)).toEqual([
    'the door code is 42',
  ]);
  expect((await store.call('notes.find', { sessionKey: 'other', query: '', limit: 5 })).notes).toEqual([]);
});

it('sweeps what is past its time and nothing else', async () => {
  const { store } = await start();
  await store.call('runs.accept', { run: runOf('old') });
  await store.call('runs.finish', { runId: 'old', state: 'done', final: finalOf('old'), endedAt: 1, history: [], outbox: [message('m')] });
  await store.call('runs.accept', { run: runOf('open') });
  await store.call('store.sweep', { now: 30 * 24 * 3_600_000 });
  expect((await store.call('runs.get', { runId: 'old' })).run).toBeNull();
  expect((await store.call('runs.get', { runId: 'open' })).run?.state).toBe('queued');
  expect((await store.call('outbox.get', { key: 'm' })).row?.state).toBe('queued');
});
