import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, startTelegramWorld, stored, type TelegramWorld } from '../support/telegram-gateway.ts';

let world: TelegramWorld;

beforeAll(async () => {
  // The library waits for the other half of an answer until its own time is up.
  world = await startTelegramWorld({ channel: { timeoutSeconds: 2 } });
  await world.telegram.until(() => world.telegram.callsOf('getUpdates').length > 0);
});
afterAll(() => world.close());

const outboxOf = (chat: number) => stored(world.gateway, 'SELECT * FROM outbox WHERE chat = ? ORDER BY id', String(chat));
const sendsTo = (chat: number) => world.telegram.callsOf('sendMessage', ({ chat_id: id }) => id === chat);
const to =
  (chat: number) =>
  ({ chat_id: id }: Record<string, unknown>) =>
    id === chat;

it('M-057 parks a row for the 120 s it is told, without one early attempt, whatever else is written in that chat', async () => {
  const { telegram, bot } = world;
  const [parked, other] = [bot.person(), bot.person()];
  telegram.fault({ method: 'sendMessage', kind: 'tooManyRequests', retryAfter: 120, match: to(parked.id) });
  const from = Date.now();
  parked.say('hello');
  const row = await eventually(
    () => outboxOf(parked.id).find(({ state, attempts }) => state === 'queued' && attempts === 1),
    'the row is parked',
  );
  expect(Number(row['next_at']) - from).toBeGreaterThanOrEqual(120_000);
  expect(Number(row['next_at']) - Date.now()).toBeLessThanOrEqual(120_000);
  // Another answer of that chat wakes its lane, and a kick of everything else is no reason to try either.
  parked.say('are you there?');
  await eventually(() => outboxOf(parked.id).length === 2, 'the second answer waits behind it');
  other.say('hi');
  await telegram.until(() => other.answers().length === 1);
  expect(sendsTo(parked.id)).toHaveLength(1);
  expect(outboxOf(parked.id).map(({ state }) => state)).toEqual(['queued', 'queued']);
});

it('M-056 waits as long as a limit says in that chat, and in no other', async () => {
  const { telegram, bot } = world;
  const [limited, other] = [bot.person(), bot.person()];
  telegram.fault({ method: 'sendMessage', kind: 'tooManyRequests', retryAfter: 2, match: to(limited.id) });
  limited.say('hello');
  await telegram.until(() => sendsTo(limited.id).length === 1);
  other.say('hi');
  await telegram.until(() => other.answers().length === 1, 'the other chat is served meanwhile', 1_500);
  expect(limited.answers()).toEqual([]);
  await telegram.until(() => limited.answers().length === 1);
  const [first, second] = sendsTo(limited.id);
  expect((second?.at ?? 0) - (first?.endedAt ?? 0)).toBeGreaterThanOrEqual(1_990);
  expect(sendsTo(limited.id)).toHaveLength(2);
});

it('M-059 says once that a message may not have arrived, and delivers it when it is asked to', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  // The request was read and the message shown to nobody: the worst of both.
  telegram.fault({ method: 'sendMessage', kind: 'destroyBeforeAnswering', applied: false, match: to(ann.id) });
  ann.say('hello');
  await telegram.until(() => ann.answers().length === 1);
  expect(ann.answers()[0]).toContain('/resend');
  await eventually(() => outboxOf(ann.id).length === 2 && outboxOf(ann.id)[1]?.state === 'sent', 'the hint is sent');
  expect(outboxOf(ann.id)[0]).toMatchObject({ state: 'unknown', attempts: 1 });
  // Nobody tries again by himself.
  ann.say('next');
  await telegram.until(() => ann.answers().length === 2);
  expect(ann.answers()[1]).toBe('you said: next');
  ann.say('/resend');
  await telegram.until(() => ann.answers().length === 3);
  expect(ann.answers()[2]).toBe('you said: hello');
  await eventually(() => outboxOf(ann.id).every(({ state }) => state === 'sent'), 'all rows are sent');
  // A second wish finds nothing left.
  ann.say('/resend');
  ann.say('done');
  await telegram.until(() => ann.answers().includes('you said: done'));
  expect(ann.answers()).toHaveLength(4);
  expect(ann.answers().filter((text) => text.includes('/resend'))).toHaveLength(1);
});

it('M-059 does not offer to repeat the offer, and resends the message alone', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  telegram.fault({ method: 'sendMessage', kind: 'destroyBeforeAnswering', applied: false, match: to(ann.id), times: 2 });
  ann.say('hello');
  await eventually(() => outboxOf(ann.id).filter(({ state }) => state === 'unknown').length === 2, 'answer and hint are unknown');
  ann.say('/resend');
  await telegram.until(() => ann.answers().length === 1);
  ann.say('and now?');
  await telegram.until(() => ann.answers().length === 2);
  expect(ann.answers()).toEqual(['you said: hello', 'you said: and now?']);
  expect(outboxOf(ann.id)).toHaveLength(3);
});

it.each([
  ['half an answer', { kind: 'halfAnswer' }],
  ['a page of a proxy', { kind: 'html', status: 502 }],
  ['JSON that ends too soon', { kind: 'wrongJson' }],
  ['JSON of somebody else', { kind: 'wrongJson', body: '{"error":"what?"}' }],
] as const)('takes %s for unknown and doubles nothing', async (_what, fault) => {
  const { telegram, bot } = world;
  const ann = bot.person();
  telegram.fault({ method: 'sendMessage', ...fault, match: to(ann.id) });
  ann.say('hello');
  await eventually(() => outboxOf(ann.id)[0]?.state === 'unknown', 'the row is unknown', 8_000);
  await telegram.until(() => ann.answers().some((text) => text.includes('/resend')));
  expect(sendsTo(ann.id).filter(({ params }) => String(params['text']).includes('you said'))).toHaveLength(1);
});

it('tries again after a refusal that may heal, as often as the policy says, and fails after that', async () => {
  const { telegram, bot } = world;
  const [lucky, unlucky] = [bot.person(), bot.person()];
  telegram.fault({
    method: 'sendMessage',
    kind: 'refuse',
    status: 500,
    description: 'Internal Server Error',
    match: to(lucky.id),
    times: 2,
  });
  const broken = telegram.fault({ method: 'sendMessage', kind: 'refuse', status: 500, description: 'no', match: to(unlucky.id), times: 9 });
  lucky.say('a');
  unlucky.say('b');
  await telegram.until(() => lucky.answers().length === 1);
  await eventually(() => outboxOf(unlucky.id)[0]?.state === 'failed', 'the row has failed');
  expect(sendsTo(unlucky.id)).toHaveLength(3);
  broken.lift();
  unlucky.block();
  unlucky.say('c');
  await eventually(() => outboxOf(unlucky.id)[1]?.state === 'failed', 'a blocked chat fails at once');
  expect(sendsTo(unlucky.id)).toHaveLength(4);
});

it('keeps an answer while the platform is away, and delivers it once when it is back', async () => {
  const { telegram, bot } = world;
  const ann = bot.person();
  telegram.fault({ method: 'sendMessage', kind: 'tooManyRequests', retryAfter: 1, match: to(ann.id) });
  ann.say('hello');
  await eventually(() => outboxOf(ann.id)[0]?.state === 'queued' && outboxOf(ann.id)[0]?.['attempts'] === 1, 'the answer waits');
  await telegram.goDown();
  await world.gateway.printed('Telegram backingOff');
  // Due again while nobody listens there.
  await eventually(() => Number(outboxOf(ann.id)[0]?.['next_at']) < Date.now(), 'the row is due');
  expect(outboxOf(ann.id)[0]).toMatchObject({ state: 'queued' });
  await telegram.comeBack();
  await telegram.until(() => ann.answers().length === 1, 'the answer arrives', 12_000);
  expect(ann.answers()).toEqual(['you said: hello']);
  await eventually(() => outboxOf(ann.id)[0]?.state === 'sent', 'the row is sent');
  expect(outboxOf(ann.id)).toHaveLength(1);
});

it('M-068 writes no token anywhere, whatever went wrong', async () => {
  const { gateway, bot, telegram } = world;
  const [, secret = ''] = bot.token.split(':');
  // Failures of all kinds while somebody looks: their addresses hold the token.
  const client = await gateway.connect();
  for (const fault of [{ kind: 'html', status: 502 }, { kind: 'wrongJson' }, { kind: 'destroyBeforeAnswering' }] as const) {
    const ann = bot.person();
    telegram.fault({ method: 'sendMessage', ...fault, match: to(ann.id) });
    const answer = await client.request('send', { to: String(ann.id), message: 'x', channel: 'telegram', idempotencyKey: fault.kind });
    expect(answer.ok).toBe(false);
  }
  telegram.fault({ method: 'getUpdates', kind: 'wrongJson' });
  bot.person().say('ends the poll');
  await eventually(() => (gateway.stdout().match(/Telegram backingOff/g) ?? []).length >= 2, 'the poll failed');
  for (const method of ['health', 'status', 'inspector.tree', 'inspector.history', 'logs.tail', 'config.get']) await client.call(method);
  expect(JSON.stringify(client.frames)).not.toContain(secret);
  await gateway.stop();
  const { readFileSync, readdirSync, statSync } = await import('node:fs');
  const { join } = await import('node:path');
  const written = readdirSync(gateway.home, { recursive: true, encoding: 'utf8' })
    .map((name) => join(gateway.home, name))
    .filter((path) => statSync(path).isFile() && path !== gateway.configPath);
  expect(written.some((path) => path.endsWith('.log'))).toBe(true);
  for (const path of written) expect(readFileSync(path, 'latin1').includes(secret), path).toBe(false);
  expect(gateway.stdout() + gateway.stderr()).not.toContain(secret);
  // There was something to hide: calls failed, and their addresses hold the token.
  expect(gateway.log().filter(({ level }) => level === 'warn' || Number(level) >= 40).length).toBeGreaterThan(3);
});
