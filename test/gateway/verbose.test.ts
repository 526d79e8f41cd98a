import { afterEach, describe, expect, it } from 'vitest';
import { defaultConfig, type Gateway, startGateway } from '../support/gateway.ts';
import { eventually } from '../support/processes.ts';

const opened: Gateway[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((gateway) => gateway.close()));
});

/** A client that says hello, is answered, sees an event, and one that is refused. */
async function visit(gateway: Gateway): Promise<void> {
  const client = await gateway.connect();
  await client.call('health');
  await client.request('nope');
  await client.call('system-event', { text: 'something happened' });
  await client.event('presence');
  client.close();
  await client.closed;
  const stranger = await gateway.raw();
  await stranger.hello({ minProtocol: 3, maxProtocol: 3, client: { id: 'x', version: '1', platform: 'x', mode: 'test' } });
  await stranger.closed;
}

const lines = (gateway: Gateway) => (gateway.stdout() + gateway.stderr()).split('\n');

describe('K-021', () => {
  it('K-021 --verbose shows handshakes, requests with their answers, and events', async () => {
    const gateway = await startGateway({ args: ['--verbose'] });
    opened.push(gateway);
    await visit(gateway);
    await gateway.printed('handshake refused');
    expect(gateway.stdout()).toMatch(/\[ws\] debug handshake granted/);
    expect(gateway.stdout()).toMatch(/\[ws\] debug request ok .*method=health ms=\d+/);
    expect(gateway.stdout()).toMatch(/\[ws\] debug request refused .*method=nope code=INVALID_REQUEST/);
    expect(gateway.stdout()).toMatch(/\[ws\] debug event sent .*event=presence/);
    // The file stays as it was configured.
    await eventually(() => gateway.log().length > 0, 'something is written');
    expect(gateway.log().filter(({ level }) => level === 'debug')).toEqual([]);
  });

  it('K-021 without it a fast successful request prints nothing', async () => {
    const gateway = await startGateway();
    opened.push(gateway);
    const client = await gateway.connect();
    const before = lines(gateway).length;
    for (let count = 0; count < 20; count += 1) await client.call('health');
    // Whatever those would have printed stands before the line of this one.
    const stranger = await gateway.raw();
    await stranger.hello({});
    await gateway.printed('handshake refused');
    expect(lines(gateway).length).toBe(before + 1);
  });
});

it.each(['info', 'debug', 'trace'])('K-074 with --verbose every record of the log file stands on stdio, level %s', async (level) => {
  const gateway = await startGateway({ args: ['--verbose'], config: { ...defaultConfig, logging: { level, consoleLevel: 'error' } } });
  opened.push(gateway);
  await visit(gateway);
  gateway.signal('SIGUSR1');
  await gateway.printed('ready again');
  await gateway.stop();
  const shown = lines(gateway);
  const records = gateway.log();
  expect(records.length).toBeGreaterThan(5);
  for (const { time, message, subsystem, connId } of records) {
    const wanted = [
      String(time).slice(11, 19),
      String(message),
      ...(subsystem ? [`[${String(subsystem)}]`] : []),
      ...(connId ? [`connId=${String(connId)}`] : []),
    ];
    expect(
      shown.some((line) => wanted.every((text) => line.includes(text))),
      wanted.join(' '),
    ).toBe(true);
  }
  if (level !== 'info') {
    for (const message of ['handshake granted', 'request ok', 'request refused', 'event sent']) {
      expect(
        records.some((record) => record['message'] === message),
        message,
      ).toBe(true);
    }
  }
});

it('OPENCLAW_LOG_LEVEL=debug fills the file as the key would', async () => {
  const gateway = await startGateway({ env: { OPENCLAW_LOG_LEVEL: 'debug' } });
  opened.push(gateway);
  await visit(gateway);
  await eventually(() => gateway.log().some(({ message }) => message === 'request ok'), 'requests are in the file');
  expect(gateway.stdout()).not.toContain('request ok');
});
