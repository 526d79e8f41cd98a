import { afterEach, expect, it } from 'vitest';
import { createActor, setup } from 'xstate';
import { sweeper } from '../../../src/actors/store/sweeper.ts';
import { keptLog } from '../../support/silent-log.ts';
import { startStore } from '../../support/start-store.ts';
import { eventually } from '../../support/telegram-gateway.ts';

type World = Awaited<ReturnType<typeof startStore>>;
let world: World | undefined;
afterEach(() => {
  world?.kill();
  world?.remove();
});

it('removes what is past its time, again and again, and nothing that is still open', async () => {
  const { store } = (world = await startStore());
  const now = Date.now();
  const longAgo = now - 8 * 24 * 3_600_000;
  const address = { channel: 'telegram', account: 'default', chat: '7' };
  const insert = async (key: string, at: number, isSent: boolean) => {
    const { rows } = await store.call('outbox.insert', { rows: [{ key, address, kind: 'text', payload: { text: key } }], now: at });
    if (isSent) await store.call('outbox.mark', { id: rows[0]?.id as number, state: 'sent', now: at });
  };
  await insert('old', longAgo, true);
  await insert('old and open', longAgo, false);
  await insert('new', now, true);
  const isThere = async (key: string) => (await store.call('outbox.get', { key })).row !== null;
  const logic = sweeper({ store: () => store, now: () => now, log: keptLog(), firstMs: 1, everyMs: 5 });
  const parent = createActor(setup({ actors: { sweeper: logic } }).createMachine({ invoke: { src: 'sweeper' } }));
  parent.start();
  await eventually(async () => !(await isThere('old')), 'the old row is gone');
  await insert('old too', longAgo, true);
  await eventually(async () => !(await isThere('old too')), 'the next round takes the next');
  expect(await isThere('old and open')).toBe(true);
  expect(await isThere('new')).toBe(true);
  parent.stop();
});
