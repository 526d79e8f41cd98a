/** Who is there, and how clients hear of it (protocol 6 and 9.5). */
import { hostname } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.ts';
import type { Frame, RawClient } from '../support/raw-client.ts';

type Entry = Record<string, unknown> & { ts: number };

let gateway: Gateway;
/** Not in the list itself, so it looks without changing anything. */
let watcher: RawClient;
beforeEach(async () => {
  gateway = await startGateway();
  watcher = await gateway.connect({ client: { id: 'cli', mode: 'cli' } });
});
afterEach(() => gateway.close());

const list = (): Promise<Entry[]> => watcher.call('system-presence');
const versionOf = ({ stateVersion }: Frame) => stateVersion?.presence ?? 0;
const tracked = (instanceId: string, more: object = {}) => gateway.connect({ client: { instanceId, ...more } });
const entryOf = (entries: Entry[], instanceId: string) => entries.find((entry) => entry['instanceId'] === instanceId);
/** The presence events a client has got so far, once everything that was sent before now has arrived. */
async function presenceEvents(client: RawClient): Promise<Frame[]> {
  await client.request('health');
  return client.events('presence');
}
async function version(): Promise<number> {
  const client = await gateway.raw();
  const hello = await client.hello({ ...minimal, client: { ...minimal.client, mode: 'cli' } });
  client.close();
  return hello.payload.snapshot.stateVersion.presence;
}
const minimal = {
  minProtocol: 3,
  maxProtocol: 3,
  client: { id: 'cli', version: '1', platform: 'test', mode: 'cli' },
  auth: { token: 'test-token-0123456789abcdef0123456789abcdef' },
};

it('C-075 C-076 the gateway is there by itself; a client is while it is connected, unless it is a command line', async () => {
  expect(await list()).toEqual([expect.objectContaining({ mode: 'gateway', reason: 'self', host: hostname() })]);
  expect((await list())[0]).not.toHaveProperty('instanceId');
  await tracked('inst-1', { displayName: 'Kitchen', version: '2.1' });
  await gateway.connect({ client: { id: 'cli', mode: ' CLI ', instanceId: 'never' } });
  const entries = await list();
  expect(entries).toHaveLength(2);
  expect(entryOf(entries, 'inst-1')).toMatchObject({ host: 'Kitchen', version: '2.1', mode: 'test', instanceId: 'inst-1' });
  expect(entryOf(entries, 'inst-1')?.ts).toSatisfy(Number.isInteger);
});

it('C-077 the list is a bare array, newest first', async () => {
  for (const id of ['a', 'b', 'c']) {
    await tracked(id);
    await watcher.call('system-event', { text: `beacon ${id}`, instanceId: `beacon-${id}` });
  }
  const entries = await list();
  expect(entries).toBeInstanceOf(Array);
  const times = entries.map(({ ts }) => ts);
  expect(times).toHaveLength(7);
  expect(times).toEqual(times.toSorted((a, b) => b - a));
});

it('C-078 C-079 every change raises the version by one and pushes one event with the whole list to everybody', async () => {
  const first = await tracked('first');
  const start = await version();
  const others = [first, watcher];
  const before = await Promise.all(others.map(async (client) => (await presenceEvents(client)).length));
  /** What all of `others` got since the last look. */
  async function pushed() {
    const now = await Promise.all(others.map(presenceEvents));
    return now.map((frames, index) => {
      const fresh = frames.slice(before[index]);
      before[index] = frames.length;
      return fresh;
    });
  }

  const second = await tracked('second');
  for (const fresh of await pushed()) {
    expect(fresh.map(versionOf)).toEqual([start + 1]);
    expect(fresh[0]?.payload.presence.map(({ instanceId }: Entry) => instanceId)).toEqual(
      expect.arrayContaining(['first', 'second', undefined]),
    );
  }
  // The newcomer hears of itself too, and only after it was answered.
  const own = await second.event('presence');
  expect(versionOf(own)).toBe(start + 1);
  expect(second.frames.indexOf(own)).toBeGreaterThan(second.frames.findIndex(({ payload }) => payload?.type === 'hello-ok'));

  await watcher.call('system-event', { text: 'a note' });
  for (const fresh of await pushed()) expect(fresh.map(versionOf)).toEqual([start + 2]);

  second.close();
  await first.event('presence', (_payload, frame) => versionOf(frame) === start + 3);
  for (const fresh of await pushed()) {
    expect(fresh.map(versionOf)).toEqual([start + 3]);
    expect(fresh[0]?.payload.presence).toHaveLength(4);
    expect(entryOf(fresh[0]?.payload.presence, 'second')).toMatchObject({ reason: 'disconnect' });
  }

  const command = await gateway.connect({ client: { id: 'cli', mode: 'cli' } });
  command.close();
  await command.closed;
  await gateway.connect({ client: { id: 'cli', mode: 'cli' } });
  expect((await pushed()).flat()).toEqual([]);
  expect(await version()).toBe(start + 3);
});

it('C-080 letter case does not make a second instance', async () => {
  const first = await tracked('Some-Phone');
  first.close();
  await first.closed;
  await tracked('SOME-phone');
  expect((await list()).filter(({ mode }) => mode !== 'gateway')).toHaveLength(1);
});

it('C-082 a beacon updates the entry that brought its instance id, and no two entries share a name', async () => {
  await tracked('Laptop', { displayName: 'laptop' });
  await watcher.call('system-event', { text: 'Node: laptop', instanceId: 'laptop', reason: 'periodic' });
  await watcher.call('system-event', { text: 'Node: laptop', host: 'studio' });
  await watcher.call('system-event', { text: 'hello', host: 'STUDIO' });
  const device = { id: 'd1', publicKey: 'p', signature: 's', signedAt: 1 };
  await gateway.connect({ device, client: { instanceId: 'Laptop' } });
  await watcher.call('system-event', { text: 'again', instanceId: 'LAPTOP', tags: ['beaconed'] });
  const entries = await list();
  const names = entries.map(({ instanceId, host, ip, text }) => String(instanceId ?? host ?? ip ?? text).toLowerCase());
  expect(new Set(names).size).toBe(names.length);
  expect(entries.filter(({ instanceId }) => String(instanceId).toLowerCase() === 'laptop')).toEqual([
    expect.objectContaining({ tags: ['beaconed'], deviceId: 'd1' }),
  ]);
});

it('C-083 C-084 a beacon keeps its tags, and its idle time is a whole number', async () => {
  await watcher.call('system-event', { text: 'idle', instanceId: 'desk', tags: ['a'], lastInputSeconds: 3.7 });
  await watcher.call('system-event', { text: 'odd', instanceId: 'odd', tags: 'a', lastInputSeconds: -1, host: 7 });
  const entries = await list();
  expect(entryOf(entries, 'desk')).toMatchObject({ tags: ['a'], lastInputSeconds: 4 });
  for (const name of ['tags', 'lastInputSeconds', 'host']) expect(entryOf(entries, 'odd')).not.toHaveProperty(name);
});

it('C-085 a system-event without text is refused and changes nothing', async () => {
  const before = await version();
  for (const params of [undefined, {}, { text: '' }, { text: '  ' }, { text: 7 }, { text: ['x'] }]) {
    expect((await watcher.request('system-event', params)).error).toMatchObject({ code: 'INVALID_REQUEST', message: 'text required' });
  }
  expect(await version()).toBe(before);
  expect(await presenceEvents(watcher)).toEqual([]);
});

it('C-088 an entry says "disconnect" only when the last of its connections is gone', async () => {
  const [one, two] = [await tracked('shared'), await tracked('SHARED')];
  one.close();
  await one.closed;
  await watcher.event('presence', (_payload, frame) => frame === watcher.events('presence')[2]);
  expect((await list()).find(({ instanceId }) => String(instanceId).toLowerCase() === 'shared')).toMatchObject({ reason: 'connect' });
  two.close();
  await watcher.event('presence', ({ presence }) => presence.some(({ reason }: Entry) => reason === 'disconnect'));
});

it('C-153 entries of the gateway and of local clients are complete, and a beacon gives back what it brought', async () => {
  await tracked('whole', { displayName: 'Mac', platform: 'macOS 15', deviceFamily: 'Mac', modelIdentifier: 'Mac15,1' });
  await gateway.connect();
  const connected = await list();
  expect(connected).toHaveLength(3);
  for (const entry of connected) {
    for (const field of ['host', 'ip', 'version', 'mode']) expect(entry[field]).toMatch(/./);
    expect(entry.ts).toBeGreaterThan(0);
  }
  expect(entryOf(connected, 'whole')).toMatchObject({ platform: 'macOS 15', deviceFamily: 'Mac', modelIdentifier: 'Mac15,1' });
  const beacon = {
    deviceId: 'dev-1',
    instanceId: 'beacon-1',
    host: 'studio',
    ip: '192.168.1.7',
    mode: 'local',
    version: '9.9',
    platform: 'macOS 15',
    deviceFamily: 'Mac',
    modelIdentifier: 'Mac14,2',
    reason: 'launch',
    lastInputSeconds: 12,
    roles: ['operator'],
    scopes: ['operator.read'],
    tags: ['desk', 'home'],
  };
  await watcher.call('system-event', { text: 'Node: studio', ...beacon });
  expect(entryOf(await list(), 'beacon-1')).toMatchObject(beacon);
});

it('C-154 a presence event and a hello-ok right after it tell the same', async () => {
  await tracked('first');
  await tracked('second');
  await watcher.call('system-event', { text: 'a note', tags: ['x'] });
  for (const event of await presenceEvents(watcher)) {
    expect(event.stateVersion).toEqual({ presence: expect.any(Number), health: expect.any(Number) });
  }
  const last = watcher.events('presence').at(-1) as Frame;
  const client = await gateway.raw();
  const { snapshot } = (await client.hello(minimal)).payload;
  expect(snapshot.stateVersion.presence).toBe(versionOf(last));
  // The gateway's own `ts` is the time of the listing (protocol 6.2); everything else is equal.
  const still = (entries: Entry[]) => entries.map((entry) => (entry['reason'] === 'self' ? { ...entry, ts: 0 } : entry));
  expect(still(snapshot.presence)).toEqual(still(last.payload.presence));
});

it('entries of clients that did not come back after a restart age like others', async () => {
  await tracked('stays-away');
  gateway.signal('SIGUSR1');
  await gateway.printed('ready again');
  const client = await gateway.connect({ client: { id: 'cli', mode: 'cli' } });
  expect(entryOf(await client.call('system-presence'), 'stays-away')).toMatchObject({ reason: 'disconnect' });
});
