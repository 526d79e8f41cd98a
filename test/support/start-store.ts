/** A real store on a real file in a folder of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createActor, setup } from 'xstate';
import type { StorePort } from '../../src/actors/store/contract.ts';
import { storeActor } from '../../src/actors/store/store-actor.ts';

export const temporaryFolder = () => mkdtempSync(join(tmpdir(), 'openclaw-test-'));

export async function startStore(stateDir = temporaryFolder()) {
  const opened = Promise.withResolvers<StorePort>();
  const closed = Promise.withResolvers<void>();
  let port: StorePort | undefined;
  const parent = createActor(
    setup({
      actors: {
        store: storeActor({
          register(next) {
            port = next;
            return () => {
              port = undefined;
            };
          },
        }),
      },
    }).createMachine({
      invoke: { id: 'store', src: 'store', input: { stateDir } },
      on: {
        'child.up': { actions: () => opened.resolve(port as StorePort) },
        'child.stopped': { actions: () => closed.resolve() },
      },
    }),
  );
  parent.subscribe({ error: (error) => opened.reject(error) });
  parent.start();
  const store = await opened.promise;
  return {
    store,
    stateDir,
    /** Polite end: what was sent is finished. */
    async close() {
      (parent.getSnapshot().children['store'] as { send(event: object): void } | undefined)?.send({ type: 'gateway.drain' });
      await closed.promise;
      parent.stop();
    },
    kill: () => parent.stop(),
    remove: () => rmSync(stateDir, { recursive: true, force: true }),
  };
}
