/** What a gateway says it can do, it does (protocol 0.1 and 2.10). */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { goodConnect } from '../support/raw-client.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

const seedMethods = `health status system-presence system-event send agent node.list node.describe node.invoke node.pair.request
  node.pair.list node.pair.approve node.pair.reject node.pair.verify chat.history chat.send chat.abort logs.tail config.get
  config.set config.patch config.apply config.schema update.run`.split(/\s+/);

const eventNames = `connect.challenge agent chat presence tick talk.mode shutdown health heartbeat cron node.pair.requested
  node.pair.resolved node.invoke.request device.pair.requested device.pair.resolved voicewake.changed exec.approval.requested
  exec.approval.resolved`.split(/\s+/);

async function connected(more: object = {}) {
  const client = await gateway.raw();
  const { payload } = await client.hello({ ...goodConnect(), ...more });
  return { client, features: payload.features as { methods: string[]; events: string[] } };
}

it('C-008 features name every seed method and the eighteen events, and no method that is unknown when it is called', async () => {
  const { client: operator, features } = await connected();
  const { client: node } = await connected({ role: 'node' });
  expect(features.methods).toEqual(expect.arrayContaining(seedMethods));
  expect(features.events).toEqual(expect.arrayContaining(eventNames));
  for (const method of features.methods) {
    // A parameter that none of them has: it is refused as such by whatever would change something.
    const answers = await Promise.all([operator, node].map((client) => client.request(method, { whatever: 1 })));
    for (const { error } of answers) expect(error?.message ?? '', method).not.toContain('unknown method');
    // One of the two may call it, so it was looked up.
    expect(
      answers.some(({ error }) => !error?.message.startsWith('unauthorized role')),
      method,
    ).toBe(true);
  }
  expect((await operator.request('no.such.method', {})).error?.message).toContain('unknown method');
  operator.close();
  node.close();
});
