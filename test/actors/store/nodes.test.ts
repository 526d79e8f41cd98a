/** Rows of nodes: how long a request counts, and how many there may be (protocol 7.6). */
import { hash } from 'node:crypto';
import { expect, it, onTestFinished } from 'vitest';
import { startStore } from '../../support/start-store.ts';

async function start() {
  const { store, close, remove } = await startStore();
  onTestFinished(async () => {
    await close();
    remove();
  });
  const ask = (nodeId: string, now: number) => store.call('nodes.request', { node: { nodeId }, requestId: `${nodeId}@${now}`, now });
  const approve = (requestId: string, now: number, token = 't') =>
    store.call('nodes.approve', { requestId, tokenHash: hash('sha256', token, 'hex'), now });
  return { store, ask, approve };
}

it('a request counts for 300 s, and is then as if it had never been made', async () => {
  const { store, ask, approve } = await start();
  await ask('n', 0);
  expect(await ask('n', 299_999)).toMatchObject({ created: false, request: { requestId: 'n@0' } });
  expect(await approve('n@0', 300_000)).toEqual({ outcome: 'unknown' });
  expect(await ask('n', 300_000)).toMatchObject({ created: true, request: { requestId: 'n@300000' } });
  expect((await store.call('nodes.list', { now: 599_999 })).pending).toHaveLength(1);
  expect((await store.call('nodes.list', { now: 600_000 })).pending).toEqual([]);
  await ask('swept', 700_000);
  expect(await store.call('store.sweep', { now: 1_000_000 })).toEqual({ removed: 1 });
  expect(await store.call('nodes.reject', { requestId: 'swept@700000', now: 1_000_000 })).toEqual({ nodeId: null });
});

it('one request is answered once, whoever is faster', async () => {
  const { ask, approve, store } = await start();
  await ask('n', 0);
  const answers = await Promise.all([
    approve('n@0', 1, 'a'),
    approve('n@0', 1, 'b'),
    store.call('nodes.reject', { requestId: 'n@0', now: 1 }),
  ]);
  expect(answers).toEqual([
    { outcome: 'paired', node: { nodeId: 'n', createdAtMs: 1, approvedAtMs: 1 } },
    { outcome: 'unknown' },
    { nodeId: null },
  ]);
  const verify = async (token: string) =>
    (await store.call('nodes.verify', { nodeId: 'n', tokenHash: hash('sha256', token, 'hex') })).node !== null;
  expect([await verify('a'), await verify('b')]).toEqual([true, false]);
});

it('a hundred may wait and a thousand be paired; who is known already is not one more', async () => {
  const { ask, approve } = await start();
  for (let round = 0; round < 10; round += 1) {
    const ids = Array.from({ length: 100 }, (_, index) => `n${round * 100 + index}`);
    await Promise.all(ids.map((nodeId) => ask(nodeId, round)));
    expect(await ask('one more', round)).toEqual({ request: null, created: false });
    expect(await ask(ids[0] as string, round)).toMatchObject({ created: false, request: { nodeId: ids[0] } });
    for (const { outcome } of await Promise.all(ids.map((nodeId) => approve(`${nodeId}@${round}`, round)))) expect(outcome).toBe('paired');
  }
  await ask('one more', 20);
  expect(await approve('one more@20', 20)).toEqual({ outcome: 'full' });
  await ask('n1', 20);
  expect(await approve('n1@20', 20)).toMatchObject({ outcome: 'paired', node: { createdAtMs: 0, approvedAtMs: 20 } });
});
