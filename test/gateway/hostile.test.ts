/** Clients that mean harm get their answer, and nobody else notices: while each goes on, good clients come and are served. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { goodConnect } from '../support/raw-client.ts';
import { frame, openTcp, openUpgraded, type RawSocket, upgradeRequest } from '../support/raw-socket.ts';

let gateway: Gateway;
const left: RawSocket[] = [];
beforeAll(async () => {
  gateway = await startGateway();
});
beforeEach(() => {
  for (const socket of left.splice(0)) socket.end();
});
afterAll(() => {
  for (const socket of left.splice(0)) socket.end();
  return gateway.close();
});

const request = (id: string, method: string, params?: unknown) => frame(JSON.stringify({ type: 'req', id, method, params }));

/** Upgraded, and welcome; it speaks and reads bytes from here on. */
async function welcomed(): Promise<RawSocket> {
  const raw = await openUpgraded(gateway.port);
  left.push(raw);
  raw.send(request('hello', 'connect', goodConnect()));
  await raw.until(() => answers(raw).length === 1);
  expect(answers(raw)[0]).toMatchObject({ ok: true });
  return raw;
}

const messages = (raw: RawSocket) => raw.frames().flatMap(({ opcode, payload }) => (opcode === 1 ? [JSON.parse(payload.toString())] : []));
const answers = (raw: RawSocket) => messages(raw).filter(({ type }) => type === 'res');

/** Good clients come, ask and go for as long as the other work lasts, at least three of them. */
async function meanwhile<T>(attack: Promise<T>): Promise<T> {
  let isOver = false;
  const done = attack.finally(() => {
    isOver = true;
  });
  done.catch(() => {});
  for (let turn = 0; turn < 3 || !isOver; turn += 1) {
    const client = await gateway.connect();
    expect((await client.call('health')).ok).toBe(true);
    client.close();
  }
  return done;
}

/** Resident memory of the gateway. */
const residentBytes = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))?.[1]) * 1024;
/** Far above what the limits allow and far below what the attacks would cost without them. */
const muchMemory = 96 * 1024 * 1024;

it('20 000 requests that are none are each answered', async () => {
  const client = await gateway.connect();
  const count = 20_000;
  const flood = (async () => {
    for (let n = 0; n < count; n += 1) client.sendText(n % 2 === 0 ? '{"type":"req","id":"x"}' : '[1,2,3]');
    await client.find(() => client.frames.length > count, 30_000);
  })();
  await meanwhile(flood);
  const refusals = client.frames.filter(({ type, ok }) => type === 'res' && ok === false);
  expect(refusals.length).toBeGreaterThanOrEqual(count - 20);
  client.sendText('{"type":"req","id":"last","method":"health"}');
  expect((await client.response('last')).ok).toBe(true);
  expect(client.frames.filter(({ error }) => error?.message.startsWith('invalid request frame'))).toHaveLength(count);
  client.close();
}, 60_000);

it.each([
  ['at once', 'system-presence', {}],
  ['later', 'logs.tail', {}],
  ['much later', 'agent.wait', { runId: 'none', timeoutMs: 60_000 }],
])('requests of a client that never reads (%s: %s) wait outside', async (_when, method, params) => {
  const raw = await welcomed();
  raw.socket.pause();
  const before = residentBytes();
  // 24 MB of them: more than the kernels keep for us.
  const flood = Buffer.concat(Array.from({ length: 100_000 }, (_, n) => request(`${n}${'-'.repeat(150)}`, method, params)));
  let isTaken = false;
  void raw.sent(flood).then(() => {
    isTaken = true;
  });
  // Twenty good clients are time enough for the gateway to have taken all of it, if it were so foolish.
  for (let turn = 0; turn < 20; turn += 1) await meanwhile(Promise.resolve());
  expect(residentBytes() - before).toBeLessThan(muchMemory);
  expect(isTaken).toBe(false);
});

it('a client that reads late gets every answer it asked for', async () => {
  const client = await gateway.connect();
  client.ws.pause();
  const count = 5_000;
  for (let n = 0; n < count; n += 1) client.send({ type: 'req', id: `late-${n}`, method: n % 10 === 0 ? 'status' : 'health' });
  await meanwhile(Promise.resolve());
  client.ws.resume();
  await client.response(`late-${count - 1}`);
  expect(client.frames.filter(({ id }) => id?.startsWith('late-')).map(({ id }) => id)).toEqual(
    Array.from({ length: count }, (_, n) => `late-${n}`),
  );
  client.close();
}, 30_000);

it.each(['a stranger', 'a client'])('pings of %s that never reads the pongs are not collected', async (who) => {
  const raw = who === 'a client' ? await welcomed() : await openUpgraded(gateway.port);
  left.push(raw);
  raw.socket.pause();
  const before = residentBytes();
  const pings = Buffer.concat(Array.from({ length: 8_000 }, () => frame(Buffer.alloc(125), { opcode: 9 })));
  for (let n = 0; n < 100; n += 1) raw.send(pings);
  for (let turn = 0; turn < 10; turn += 1) await meanwhile(Promise.resolve());
  expect(residentBytes() - before).toBeLessThan(muchMemory);
});

it('a crowd of silent connections and of sockets that never introduce themselves keeps nobody out', async () => {
  const crowd = async () => {
    for (let n = 0; n < 12; n += 1) {
      left.push(...(await Promise.all(Array.from({ length: 100 }, () => openTcp(gateway.port)))));
      const upgraded = await Promise.all(Array.from({ length: 30 }, () => openTcp(gateway.port)));
      for (const raw of upgraded) raw.send(upgradeRequest(gateway.port));
      left.push(...upgraded);
      // Half a head of an HTTP request, which will never be whole.
      const half = await openTcp(gateway.port);
      half.send('GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ');
      left.push(half);
    }
  };
  await meanwhile(crowd());
  // The oldest silent ones had to make room.
  await Promise.all(left.slice(0, 50).map(({ closed }) => closed));
}, 30_000);

it('300 wrong tokens are 300 refusals', async () => {
  const attempts = async () => {
    for (let n = 0; n < 10; n += 1) {
      await Promise.all(
        Array.from({ length: 30 }, async (_, index) => {
          const client = await gateway.raw();
          const answer = await client.hello(goodConnect({ auth: { token: `guess-${n}-${index}` } }));
          expect(answer.error).toMatchObject({ code: 'INVALID_REQUEST', message: expect.stringMatching(/^unauthorized/) });
          expect((await client.closed).code).toBe(1008);
        }),
      );
    }
  };
  await meanwhile(attempts());
}, 30_000);

it.each([
  ['whole', () => [frame(Buffer.alloc(1024 * 1024, 'x'), { length: 50 * 1024 * 1024 })]],
  [
    'in fragments',
    () => Array.from({ length: 50 }, (_, n) => frame(Buffer.alloc(1024 * 1024, 'x'), { opcode: n === 0 ? 1 : 0, fin: n === 49 })),
  ],
])('a message of 50 MB, %s, closes with 1009', async (_how, parts) => {
  for (const raw of [await welcomed(), await openUpgraded(gateway.port)]) {
    left.push(raw);
    const before = residentBytes();
    for (const part of parts()) raw.send(part);
    await meanwhile(raw.until(() => raw.closeFrame() !== undefined));
    expect(raw.closeFrame()).toEqual({ code: 1009, reason: '' });
    expect(residentBytes() - before).toBeLessThan(muchMemory);
  }
});

it('a message of endless small fragments ends', async () => {
  const raw = await welcomed();
  const fragments = Buffer.concat(Array.from({ length: 20_000 }, (_, n) => frame('x', { opcode: n === 0 ? 1 : 0, fin: false })));
  raw.send(fragments);
  await meanwhile(raw.until(() => raw.closeFrame() !== undefined));
  expect(raw.closeFrame()?.code).toBe(1008);
});

it('a frame that is never finished costs nobody but its sender', async () => {
  const raw = await welcomed();
  raw.send(frame('{"type":"req"', { length: 4_000_000 }));
  await meanwhile(Promise.resolve());
  expect(raw.closeFrame()).toBeUndefined();
});

it.each([
  ['bytes that are no UTF-8', frame(Buffer.from([0xc3, 0x28, 0xff])), 1007],
  ['a frame without a mask', Buffer.from([0x81, 0x02, 0x7b, 0x7d]), 1002],
  ['an unknown opcode', frame('x', { opcode: 3 }), 1002],
  ['a reserved bit', Buffer.concat([Buffer.from([0xc1, 0x82, 0, 0, 0, 0]), Buffer.from('{}')]), 1002],
  ['a continuation of nothing', frame('x', { opcode: 0 }), 1002],
  ['a ping that is too long', frame(Buffer.alloc(200), { opcode: 9 }), 1002],
])('%s: the connection is closed by the book, before and after hello-ok', async (_name, bytes, code) => {
  for (const raw of [await welcomed(), await openUpgraded(gateway.port)]) {
    left.push(raw);
    const before = answers(raw).length;
    raw.send(bytes);
    await meanwhile(raw.until(() => raw.closeFrame() !== undefined));
    expect(raw.closeFrame()).toMatchObject({ code });
    expect(answers(raw)).toHaveLength(before);
  }
});

const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;
const many = (count: number) => Array.from({ length: count }, (_, n) => `"k${n}":0`).join(',');

it.each([
  ['deep nesting in a frame', deep(1_000_000), /^invalid request frame/],
  ['deep nesting in params', `{"type":"req","id":"x","method":"models.list","params":${deep(1_000_000)}}`, /^invalid models.list params/],
  [
    'deep nesting where anything is allowed',
    `{"type":"req","id":"x","method":"agent","params":{"message":"m","idempotencyKey":"deep","attachments":[${deep(100_000)}]}}`,
    /attachment content must be/,
  ],
  ['a huge array', `{"type":"req","id":"x","method":"models.list","params":[${'0,'.repeat(2_000_000)}0]}`, /^invalid models.list params/],
  ['countless unknown members', `{"type":"req","id":"x","method":"models.list","params":{${many(300_000)}}}`, /unexpected property 'k0'/],
  ['countless unknown envelope members', `{"type":"req","id":"x","method":"health",${many(300_000)}}`, /^invalid request frame/],
  [
    'prototype keys in the envelope',
    '{"type":"req","id":"x","method":"health","__proto__":{"admin":true}}',
    /unexpected property '__proto__'/,
  ],
  [
    'prototype keys in params',
    '{"type":"req","id":"x","method":"models.list","params":{"__proto__":{"x":1}}}',
    /unexpected property '__proto__'/,
  ],
  ['a constructor in params', '{"type":"req","id":"x","method":"models.list","params":{"constructor":{"prototype":{}}}}', /'constructor'/],
  [
    'a name of megabytes',
    `{"type":"req","id":"x","method":"models.list","params":{"${'n'.repeat(4_000_000)}":1}}`,
    /unexpected property 'nnn/,
  ],
])(
  '%s: refused in few words',
  async (_name, text, message) => {
    const client = await gateway.connect();
    const from = client.frames.length;
    client.sendText(text);
    const answer = await meanwhile(client.find(({ type }) => type === 'res', 15_000, from));
    expect(answer).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
    expect(answer.error?.message).toMatch(message);
    expect(answer.error?.message.length).toBeLessThan(4_000);
    expect((await client.call('health')).ok).toBe(true);
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined();
    client.close();
  },
  30_000,
);

it('prototype keys where unknown members are allowed change nothing', async () => {
  const client = await gateway.connect();
  client.sendText(
    '{"type":"req","id":"p","method":"system-event","params":{"text":"t","__proto__":{"instanceId":"inherited","tags":["x"]},"instanceId":"__proto__"}}',
  );
  expect((await client.response('p')).ok).toBe(true);
  const list = (await client.call('system-presence')) as Record<string, unknown>[];
  expect(list.find(({ instanceId }) => instanceId === '__proto__')).not.toHaveProperty('tags');
  expect(list.find(({ instanceId }) => instanceId === 'inherited')).toBeUndefined();
  client.close();
});

it('a mistaken request among the first bytes is answered once, and what follows it is not served', async () => {
  const raw = await openTcp(gateway.port);
  left.push(raw);
  raw.send(
    Buffer.concat([
      Buffer.from(upgradeRequest(gateway.port)),
      request('bad', 'connect', goodConnect({ auth: { token: 'wrong' } })),
      request('good', 'connect', goodConnect()),
      request('then', 'health'),
    ]),
  );
  await raw.until(() => raw.closeFrame() !== undefined);
  expect(answers(raw).map(({ id, ok }) => [id, ok])).toEqual([['bad', false]]);
  expect(raw.closeFrame()?.code).toBe(1008);
});

it('what follows a good connect in the same packet is served in order', async () => {
  const raw = await openTcp(gateway.port);
  left.push(raw);
  raw.send(
    Buffer.concat([
      Buffer.from(upgradeRequest(gateway.port)),
      request('c', 'connect', goodConnect()),
      request('1', 'health'),
      request('2', 'system-presence'),
    ]),
  );
  await raw.until(() => answers(raw).length === 3);
  expect(answers(raw).map(({ id, ok }) => [id, ok])).toEqual([
    ['c', true],
    ['1', true],
    ['2', true],
  ]);
});

it('all of it left no error behind', () => {
  const bad = gateway.log().filter((record) => JSON.stringify(record).includes('no actor owns') || record['level'] === 'fatal');
  expect(bad).toEqual([]);
});
