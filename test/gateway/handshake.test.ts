/** What a stranger may say, and what it is told (protocol 1, 2 and 9.1). */
import { createServer, connect as connectTcp, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Gateway, type GatewayOptions, startGateway, token } from '../support/gateway.ts';
import { goodConnect, openRaw } from '../support/raw-client.ts';
import { frame, openTcp, upgradeRequest } from '../support/raw-socket.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({
    config: {
      gateway: {
        mode: 'local',
        auth: { mode: 'token', token },
        controlUi: { allowInsecureAuth: true, allowedOrigins: ['https://panel.example'] },
      },
    },
  });
});
afterAll(() => gateway.close());

/** A gateway of one test, which ends with it however it goes. */
async function start(options?: GatewayOptions): Promise<Gateway> {
  const gateway = await startGateway(options);
  onTestFinished(() => gateway.close());
  return gateway;
}

/** Says `connect` and gives the answer together with the close that follows it. */
async function refusal(params: Record<string, unknown>, on = gateway) {
  const client = await on.raw();
  const answer = await client.hello(params);
  return { answer, close: await client.closed, client };
}

const device = { id: 'd', publicKey: 'p', signature: 's', signedAt: 1 };

describe('the challenge', () => {
  it('C-001 is the first frame on open: a non-empty nonce, an integer time, no seq', async () => {
    const client = await gateway.raw();
    const first = await client.find(() => true);
    expect(first).toBe(client.frames[0]);
    expect(first).toMatchObject({ type: 'event', event: 'connect.challenge' });
    expect(first.payload.nonce).toMatch(/./);
    expect(first.payload.ts).toSatisfy(Number.isInteger);
    expect(first).not.toHaveProperty('seq');
    client.close();
  });

  it('C-002 differs from connection to connection', async () => {
    const clients = await Promise.all([gateway.raw(), gateway.raw()]);
    const [a, b] = await Promise.all(clients.map((client) => client.event('connect.challenge')));
    expect(a?.payload.nonce).not.toBe(b?.payload.nonce);
    for (const client of clients) client.close();
  });

  it('C-003 need not be read before connecting', async () => {
    const raw = await openTcp(gateway.port);
    // Upgrade and request leave together, so nothing of the gateway can have been read in between.
    const request = JSON.stringify({ type: 'req', id: 'early', method: 'connect', params: goodConnect() });
    raw.send(Buffer.concat([Buffer.from(upgradeRequest(gateway.port)), frame(request)]));
    await raw.until(() => raw.frames().length >= 2);
    const [challenge, answer] = raw.frames().map(({ payload }) => JSON.parse(payload.toString()));
    expect(challenge.event).toBe('connect.challenge');
    expect(answer).toMatchObject({ type: 'res', id: 'early', ok: true, payload: { type: 'hello-ok' } });
    raw.end();
  });
});

describe('a good connect', () => {
  it('C-004 may be a binary message, as may every request after it, and every frame of the gateway is text', async () => {
    const client = await gateway.raw();
    const binary: boolean[] = [];
    client.ws.on('message', (_data, isBinary) => binary.push(isBinary));
    const send = (frame: object) => client.ws.send(Buffer.from(JSON.stringify(frame)), { binary: true });
    send({ type: 'req', id: 'c', method: 'connect', params: goodConnect() });
    expect((await client.response('c')).payload.type).toBe('hello-ok');
    send({ type: 'req', id: 'h', method: 'health' });
    expect((await client.response('h')).ok).toBe(true);
    await client.event('presence');
    expect(binary.length).toBeGreaterThan(2);
    expect(binary).not.toContain(true);
    client.close();
  });

  it('C-005 is answered with the same id and hello-ok, as the next frame after the challenge', async () => {
    const busy = await gateway.connect();
    const client = await gateway.raw();
    await client.event('connect.challenge');
    // Events for others are on their way while this one is being answered.
    for (let n = 0; n < 20; n += 1) busy.send({ type: 'req', id: `n${n}`, method: 'system-event', params: { text: `note ${n}` } });
    client.send({ type: 'req', id: 'mine', method: 'connect', params: goodConnect() });
    await client.response('mine');
    expect(client.frames[1]).toMatchObject({ type: 'res', id: 'mine', ok: true, payload: { type: 'hello-ok' } });
    busy.close();
    client.close();
  });

  it('C-006 C-007 brings a hello-ok of the definition with integer limits and a whole snapshot', async () => {
    // Every hello-ok of every test is validated against `HelloOk` on arrival (see raw-client.ts).
    const client = await gateway.raw();
    const { payload: hello } = await client.hello();
    expect(hello.protocol).toBe(3);
    expect(hello.policy.tickIntervalMs).toBe(30_000);
    for (const limit of Object.values(hello.policy)) expect(limit).toSatisfy(Number.isInteger);
    const { presence, health, stateVersion, uptimeMs, configPath, stateDir, sessionDefaults } = hello.snapshot;
    expect(presence).toBeInstanceOf(Array);
    expect(presence.length).toBeGreaterThan(1);
    expect(health.ok).toBe(true);
    expect(stateVersion.presence).toBeGreaterThanOrEqual(1);
    expect(stateVersion.health).toBeGreaterThanOrEqual(1);
    expect(uptimeMs).toBeGreaterThan(0);
    expect(configPath).toBe(gateway.configPath);
    expect(stateDir).toBe(gateway.stateDir);
    expect(sessionDefaults).toEqual({ defaultAgentId: 'main', mainKey: 'main', mainSessionKey: 'agent:main:main', scope: 'per-sender' });
    client.close();
  });

  it('advertises every event of the protocol and no method that answers "unknown method"', async () => {
    const client = await gateway.raw();
    const { payload: hello } = await client.hello();
    expect(hello.features.events).toEqual(
      expect.arrayContaining(
        `connect.challenge tick presence shutdown agent chat health heartbeat cron talk.mode voicewake.changed node.pair.requested
         node.pair.resolved node.invoke.request device.pair.requested device.pair.resolved exec.approval.requested
         exec.approval.resolved`.split(/\s+/),
      ),
    );
    expect(hello.features.methods).toEqual(
      expect.arrayContaining(
        `health status system-presence system-event send agent agent.wait chat.history chat.send chat.abort logs.tail
         config.get models.list sessions.list node.list node.describe node.invoke node.pair.request node.pair.list
         node.pair.approve node.pair.reject node.pair.verify node.rename node.invoke.result node.event`.split(/\s+/),
      ),
    );
    expect(hello.features.methods).not.toContain('connect');
    for (const method of hello.features.methods as string[]) {
      const { error } = await client.request(method, { runId: 'none', timeoutMs: 0 });
      expect(error?.message ?? '', method).not.toContain('unknown method');
    }
    client.close();
  });

  it('C-009 gets a connection id of its own', async () => {
    const clients = await Promise.all([gateway.raw(), gateway.raw()]);
    const [a, b] = await Promise.all(clients.map((client) => client.hello()));
    expect(a?.payload.server.connId).toMatch(/^[0-9a-f-]{36}$/);
    expect(a?.payload.server.connId).not.toBe(b?.payload.server.connId);
    for (const client of clients) client.close();
  });

  it('C-010 needs no more than the runbook asks for, and may then do everything', async () => {
    const client = await gateway.raw();
    const params = goodConnect();
    expect(Object.keys(params).sort()).toEqual(['auth', 'client', 'maxProtocol', 'minProtocol']);
    expect((await client.hello(params)).ok).toBe(true);
    expect((await client.call('config.get')).path).toBe(gateway.configPath);
    client.close();
  });

  it('C-011 may leave out caps, but not fill it with an empty name', async () => {
    const client = await gateway.connect();
    client.close();
    const { answer } = await refusal(goodConnect({ caps: [''] }));
    expect(answer).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
    expect(answer.error?.message).toMatch(/^invalid connect params: /);
  });

  it.each([
    ['top level', { surprise: 'x'.repeat(200), ['y'.repeat(200)]: 1 }],
    ['client', { client: { surprise: 1 } }],
    ['auth', { auth: { token, surprise: 1 } }],
  ])('C-012 an unknown field at %s is refused by name', async (_where, more) => {
    const { answer, close } = await refusal(goodConnect(more));
    expect(answer).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
    expect(answer.error?.message).toMatch(/^invalid connect params: .*surprise/);
    expect(close.code).toBe(1008);
    expect(close.reason).toMatch(/^invalid connect params:/);
    expect(Buffer.byteLength(close.reason)).toBeLessThanOrEqual(120);
  });
});

describe('client ids and modes', () => {
  const ids = ['openclaw', 'moltbot', 'clawdbot']
    .flatMap((brand) => ['control-ui', 'macos', 'ios', 'android', 'probe'].map((name) => `${brand}-${name}`))
    .concat('webchat-ui', 'webchat', 'cli', 'gateway-client', 'node-host', 'test', 'fingerprint');

  async function verdicts(on: Gateway, clients: { id?: string; mode?: string }[]) {
    return Promise.all(
      clients.map(async (client) => {
        const raw = await on.raw();
        const { ok, error } = await raw.hello(goodConnect({ client }));
        raw.close();
        return ok === true ? 'accepted' : (error?.message.split(':')[0] ?? '');
      }),
    );
  }

  it('C-013 C-014 are free texts unless strictClientIds closes the lists', async () => {
    const accepted = (list: unknown[]) => list.map(() => 'accepted');
    expect(
      await verdicts(
        gateway,
        [...ids, 'acme-1'].map((id) => ({ id })),
      ),
    ).toEqual(accepted([...ids, 1]));
    expect(await verdicts(gateway, [{ id: 'x'.repeat(64) }, { id: 'x'.repeat(65) }, { mode: 'operator' }])).toEqual([
      'accepted',
      'invalid connect params',
      'accepted',
    ]);
    const strict = await start({
      config: {
        gateway: { mode: 'local', auth: { mode: 'token', token }, strictClientIds: true, controlUi: { allowInsecureAuth: true } },
      },
    });
    expect(
      await verdicts(
        strict,
        ids.map((id) => ({ id })),
      ),
    ).toEqual(accepted(ids));
    const modes = ['webchat', 'cli', 'ui', 'backend', 'node', 'probe', 'test', ' UI '];
    expect(
      await verdicts(
        strict,
        modes.map((mode) => ({ mode })),
      ),
    ).toEqual(accepted(modes));
    expect(await verdicts(strict, [{ id: 'acme-1' }, { mode: 'operator' }])).toEqual(Array(2).fill('invalid connect params'));
  });
});

describe('a refusal', () => {
  it('C-015 of any other first request says what was expected', async () => {
    const client = await gateway.raw();
    const answer = await client.request('health');
    expect(answer).toMatchObject({
      ok: false,
      error: { code: 'INVALID_REQUEST', message: 'invalid handshake: first request must be connect' },
    });
    expect(await client.closed).toEqual({ code: 1008, reason: 'invalid handshake: first request must be connect' });
  });

  it.each([
    '{"type":"event","event":"x"}',
    '[]',
    '5',
    'null',
    '"req"',
    '{"type":"req","method":"connect"}',
    '{"type":"req","id":"","method":"connect"}',
    '{"type":"req","id":"a","method":"connect","params":{},"more":1}',
    '{"__proto__":{"type":"req","id":"a","method":"connect"}}',
  ])('C-016 of a first frame that is no request (%s) is a close alone', async (text) => {
    const client = await gateway.raw();
    client.sendText(text);
    expect(await client.closed).toEqual({ code: 1008, reason: 'invalid request frame' });
    expect(client.frames.filter(({ type }) => type === 'res')).toEqual([]);
  });

  it('C-017 of a first frame that is not JSON is a close alone', async () => {
    for (const text of ['hello', '{', '', '{"type":"req",}']) {
      const client = await gateway.raw();
      client.sendText(text);
      expect(await client.closed).toEqual({ code: 1008, reason: 'invalid JSON' });
      expect(client.frames.filter(({ type }) => type === 'res')).toEqual([]);
    }
  });

  it('C-020 of silence comes after the handshake timeout, whether nothing or half a frame was sent', async () => {
    const impatient = await start({ env: { OPENCLAW_TEST_HANDSHAKE_TIMEOUT_MS: '200' } });
    const silent = await impatient.raw();
    const half = await impatient.raw();
    // The head of a masked text frame of 100 bytes, and nothing of it.
    (half.ws as unknown as { _socket: { write(data: Buffer): void } })._socket.write(Buffer.from([0x81, 0xe4, 1, 2, 3, 4]));
    expect(await silent.closed).toEqual({ code: 1008, reason: 'handshake timeout' });
    expect(silent.frames.map(({ event }) => event)).toEqual(['connect.challenge']);
    expect(await half.closed).toEqual({ code: 1008, reason: 'handshake timeout' });
    // Whoever introduced itself is not concerned.
    const good = await impatient.connect();
    await (await impatient.raw()).closed;
    expect((await good.call('health')).ok).toBe(true);
  });

  it('C-021 of another protocol version names ours and closes with 1002', async () => {
    for (const [minProtocol, maxProtocol] of [
      [4, 5],
      [1, 2],
    ]) {
      const { answer, close } = await refusal(goodConnect({ minProtocol, maxProtocol }));
      expect(answer).toMatchObject({
        ok: false,
        error: { code: 'INVALID_REQUEST', message: 'protocol mismatch', details: { expectedProtocol: 3 } },
      });
      expect(close).toEqual({ code: 1002, reason: 'protocol mismatch' });
    }
    const client = await gateway.raw();
    expect((await client.hello(goodConnect({ minProtocol: 1, maxProtocol: 9 }))).payload.protocol).toBe(3);
    client.close();
  });

  it('C-022 of an unknown role', async () => {
    const { answer, close } = await refusal(goodConnect({ role: 'admin' }));
    expect(answer).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST', message: 'invalid role' } });
    expect(close).toEqual({ code: 1008, reason: 'invalid role' });
  });

  it.each([
    ['a wrong token', { auth: { token: 'wrong' } }],
    ['a token that only begins right', { auth: { token: token.slice(0, -1) } }],
    ['a device without a token', { auth: undefined, device }],
    ['a password where a token is wanted', { auth: { password: token } }],
  ])('C-025 of %s starts with "unauthorized"', async (_name, more) => {
    const { answer, close } = await refusal(goodConnect(more));
    expect(answer).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
    expect(answer.error?.message).toMatch(/^unauthorized/);
    expect(answer.error?.message).not.toContain(token.slice(0, 20));
    expect(close.code).toBe(1008);
    expect(close.reason).toMatch(/^unauthorized/);
  });

  it('C-026 of the Control UI without a token says where to enter it', async () => {
    const { answer } = await refusal(goodConnect({ client: { id: 'openclaw-control-ui' }, device, auth: undefined }));
    expect(answer.error?.message).toMatch(/^unauthorized.*Control UI settings/);
  });

  it('C-027 is about the password in password mode, and the token is ignored', async () => {
    const password = 'a-password-of-this-test';
    const locked = await start({ config: { gateway: { mode: 'local', auth: { mode: 'password', password } } } });
    const client = await locked.raw();
    expect((await client.hello(goodConnect({ auth: { password, token: 'nonsense' } }))).ok).toBe(true);
    client.close();
    for (const auth of [{ password: 'wrong' }, { token: password }, { password: 'wrong', token: password }]) {
      const { answer, close } = await refusal(goodConnect({ auth }), locked);
      expect(answer.error?.message).toMatch(/^unauthorized/);
      expect(close.code).toBe(1008);
    }
  });

  it('C-028 of a client that offers nothing asks for a device identity', async () => {
    for (const auth of [undefined, {}, { token: '' }]) {
      const { answer, close } = await refusal(goodConnect({ auth }));
      expect(answer).toMatchObject({ ok: false, error: { code: 'NOT_PAIRED', message: 'device identity required' } });
      expect(close).toEqual({ code: 1008, reason: 'device identity required' });
    }
  });

  it('C-029 of the Control UI without a device is for a page that cannot have one', async () => {
    const strict = await start();
    const { answer } = await refusal(goodConnect({ client: { id: 'openclaw-control-ui' } }), strict);
    expect(answer.error?.message).toContain('secure context');
    const client = await gateway.raw();
    expect((await client.hello(goodConnect({ client: { id: 'openclaw-control-ui' } }))).ok).toBe(true);
    client.close();
  });

  it('C-034 is answered before the close, and a foreign page is refused before the upgrade', async () => {
    const { answer, client } = await refusal(goodConnect({ auth: { token: 'wrong' } }));
    expect(client.frames.at(-1)).toBe(answer);
    const attempt = (origin: string | undefined, more: Record<string, string> = {}) =>
      gateway.raw({ headers: { ...more, ...(origin === undefined ? {} : { Origin: origin }) } }).then(
        (opened) => {
          opened.close();
          return 101;
        },
        (error: { statusCode?: number }) => error.statusCode,
      );
    expect(await attempt('https://evil.example')).toBe(403);
    expect(await attempt('null')).toBe(403);
    expect(await attempt(`http://127.0.0.1:${gateway.port + 1}`)).toBe(403);
    expect(await attempt(`http://127.0.0.1:${gateway.port}`)).toBe(101);
    expect(await attempt('https://panel.example')).toBe(101);
    expect(await attempt(undefined)).toBe(101);
    // A foreign name that was made to point at this machine is no origin of ours, although it matches.
    expect(await attempt('http://rebound.example', { Host: 'rebound.example' })).toBe(403);
    expect(await attempt(undefined, { Host: 'rebound.example' })).toBe(101);
    expect(await attempt('http://localhost', { Host: 'localhost:80' })).toBe(101);
  });
});

describe('after hello-ok', () => {
  it('C-018 a message that is not JSON closes the connection without an answer', async () => {
    const client = await gateway.connect();
    const before = client.frames.filter(({ type }) => type === 'res').length;
    client.sendText('{"type":"req"');
    expect(await client.closed).toEqual({ code: 1008, reason: 'invalid JSON' });
    expect(client.frames.filter(({ type }) => type === 'res')).toHaveLength(before);
  });

  it('C-019 a frame that is no request is answered, under its id when it has one, and the connection goes on', async () => {
    const client = await gateway.connect();
    for (const [text, id] of [
      ['{"type":"res","id":"r1","ok":true}', 'r1'],
      ['{"type":"req","method":"health"}', 'invalid'],
      ['{"type":"req","id":"","method":"health"}', 'invalid'],
      ['{"type":"req","id":7,"method":"health"}', 'invalid'],
      ['[]', 'invalid'],
      ['null', 'invalid'],
    ] as const) {
      const from = client.frames.length;
      client.sendText(text);
      const answer = await client.find(({ type }) => type === 'res', undefined, from);
      expect(answer).toMatchObject({ id, ok: false, error: { code: 'INVALID_REQUEST' } });
      expect(answer.error?.message).toMatch(/^invalid request frame/);
    }
    expect((await client.call('health')).ok).toBe(true);
    client.close();
  });

  it('C-023 a second connect is refused and changes nothing', async () => {
    const client = await gateway.connect({ scopes: ['operator.read'] });
    const answer = await client.hello(goodConnect());
    expect(answer).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
    expect(answer.error?.message).toBe('connect is only valid as the first request');
    expect((await client.call('health')).ok).toBe(true);
    expect((await client.request('config.get')).error?.message).toBe('missing scope: operator.admin');
    client.close();
  });

  it('C-024 the limit in force closes with 1009 and no answer; a frame of exactly the limit is served', async () => {
    const fill = (bytes: number) => {
      const text = (pad: string) => JSON.stringify({ type: 'req', id: 'big', method: 'health', params: { pad } });
      return text('x'.repeat(bytes - text('').length));
    };
    const stranger = await gateway.raw();
    stranger.sendText(fill(65_537));
    expect(await stranger.closed).toEqual({ code: 1009, reason: '' });
    expect(stranger.frames.filter(({ type }) => type === 'res')).toEqual([]);

    const client = await gateway.raw();
    const { maxPayload } = (await client.hello()).payload.policy;
    client.sendText(fill(maxPayload));
    expect(await client.response('big')).toMatchObject({ ok: true });
    const answers = client.frames.filter(({ type }) => type === 'res').length;
    client.sendText(fill(maxPayload + 1));
    expect(await client.closed).toEqual({ code: 1009, reason: '' });
    expect(client.frames.filter(({ type }) => type === 'res')).toHaveLength(answers);
  });
});

describe("the rest of the runbook's floor", () => {
  it('C-151 a plain TCP forwarder changes nothing: with the token hello-ok, without it unauthorized', async () => {
    const forwarder = createServer((near) => {
      const far = connectTcp(gateway.port, '127.0.0.1');
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) socket.on('error', () => near.destroy());
    });
    await new Promise<void>((resolve) => forwarder.listen(0, '127.0.0.1', resolve));
    const url = `ws://127.0.0.1:${(forwarder.address() as AddressInfo).port}`;
    const client = await openRaw(url);
    expect((await client.hello()).payload.type).toBe('hello-ok');
    client.close();
    for (const more of [{ auth: { token: 'wrong' } }, { auth: { password: 'x' } }, { auth: undefined, device }]) {
      const stranger = await openRaw(url);
      expect((await stranger.hello(goodConnect(more))).error?.message).toMatch(/^unauthorized/);
      expect((await stranger.closed).reason).toMatch(/^unauthorized/);
    }
    await new Promise((resolve) => forwarder.close(resolve));
  });

  const whole: Record<string, unknown> = {
    minProtocol: 3,
    maxProtocol: 3,
    client: {
      id: 'test',
      displayName: 'A test',
      version: '1',
      platform: 'test',
      deviceFamily: 'Mac',
      modelIdentifier: 'Mac15,1',
      mode: 'test',
      instanceId: 'floor',
    },
    caps: ['canvas'],
    auth: { token },
    locale: 'en-GB',
    userAgent: 'test/1',
  };

  it.each(['minProtocol', 'maxProtocol', 'client', 'client.id', 'client.version', 'client.platform', 'client.mode'])(
    'C-152 a connect without %s is refused; one with every optional field is accepted',
    async (path) => {
      const params = structuredClone(whole);
      const [first = '', second] = path.split('.');
      if (second === undefined) delete params[first];
      else delete (params[first] as Record<string, unknown>)[second];
      const { answer, close } = await refusal(params);
      expect(answer).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
      expect(answer.error?.message).toMatch(/^invalid connect params: /);
      expect(answer.error?.message).toContain(second ?? first);
      expect(close.code).toBe(1008);
      const client = await gateway.raw();
      expect((await client.hello(whole)).ok).toBe(true);
      client.close();
    },
  );
});
