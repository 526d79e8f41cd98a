/** How long an entry stays, on a clock of the test (protocol 6.4). */
import { expect, it } from 'vitest';
import { createPresence } from '../../src/actors/registry/presence.ts';

function startPresence() {
  let now = 1_000_000;
  const presence = createPresence({ version: '1', now: () => now });
  const connect = (instanceId: string, connId = instanceId) =>
    presence.connect({
      connId,
      params: { minProtocol: 3, maxProtocol: 3, client: { id: 'test', version: '1', platform: 'test', mode: 'test', instanceId } },
      role: 'operator',
      scopes: [],
      ip: undefined,
    });
  const names = () => presence.list().flatMap(({ instanceId }) => instanceId ?? []);
  return { presence, connect, names, pass: (ms: number) => void (now += ms) };
}

it('C-086 a beacon is forgotten after five minutes of silence, a live connection never', () => {
  const { presence, connect, names, pass } = startPresence();
  connect('live');
  presence.note({ text: 'beacon', instanceId: 'beacon' });
  pass(300_000);
  expect(names()).toEqual(['live', 'beacon']);
  pass(1);
  expect(names()).toEqual(['live']);
  pass(86_400_000);
  expect(names()).toEqual(['live']);
  presence.disconnect('live');
  pass(300_001);
  expect(names()).toEqual([]);
});

it('C-087 of 250 notes the newest 200 stay, beside the gateway and the connected', () => {
  const { presence, connect, pass } = startPresence();
  connect('live');
  for (let n = 0; n < 250; n += 1) {
    pass(1);
    presence.note({ text: `note ${n}` });
  }
  const list = presence.list();
  expect(list).toHaveLength(202);
  expect(list.filter(({ mode }) => mode === 'gateway' || mode === 'test')).toHaveLength(2);
  const notes = list.flatMap(({ text = '' }) => (text.startsWith('note') ? [text] : []));
  expect(notes).toEqual(Array.from({ length: 200 }, (_, index) => `note ${249 - index}`));
});

it('what one beacon may put into the list is bounded', () => {
  const { presence } = startPresence();
  const long = '😀'.repeat(100_000);
  presence.note({ text: long, instanceId: long, host: long, tags: Array.from({ length: 10_000 }, (_, n) => `${n}${long}`) });
  expect(Buffer.byteLength(JSON.stringify(presence.list()))).toBeLessThan(100_000);
  expect(JSON.stringify(presence.list())).not.toMatch(/\\ud83d/i);
});

it('an entry that changes its key keeps its owners', () => {
  const { presence, connect } = startPresence();
  connect('Phone', 'one');
  presence.note({ text: 'x', deviceId: 'device', instanceId: 'phone' });
  expect(presence.list()).toHaveLength(2);
  presence.disconnect('one');
  expect(presence.list().find(({ deviceId }) => deviceId === 'device')).toMatchObject({ reason: 'disconnect' });
});
