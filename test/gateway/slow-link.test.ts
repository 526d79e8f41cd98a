/** A large answer on a slow link is no reason to be cut off (protocol D-21). */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { startGateway, temporaryHome, token } from '../support/gateway.ts';

/**
 * What becomes of a client that takes its time to read six megabytes of history while runs go on. With the smallest
 * `gateway.maxBufferedBytes` the same story ends in `slow consumer`, unless the kernel's buffers are very large.
 */
async function readSlowly() {
  const home = temporaryHome();
  const script = join(home, 'script.json');
  await writeFile(script, JSON.stringify({ '*': [{ text: 'noted' }] }));
  const gateway = await startGateway({
    home,
    config: {
      gateway: { mode: 'local', auth: { mode: 'token', token } },
      agents: { defaults: { model: `openclaw/script:${script}` } },
    },
  });
  onTestFinished(() => gateway.close());
  const writer = await gateway.connect();
  const say = async (key: string, message: string) => {
    await writer.call('chat.send', { sessionKey: 'long', message, idempotencyKey: key });
    await writer.event('chat', ({ runId, state }) => runId === key && state === 'final');
  };
  for (let n = 0; n < 8; n += 1) await say(`fill-${n}`, `${n} ${'x'.repeat(900_000)}`);
  const reader = await gateway.connect();
  reader.send({ type: 'req', id: 'history', method: 'chat.history', params: { sessionKey: 'long' } });
  // It reads nothing until the answer has been written and events have come after it.
  reader.ws.pause();
  await writer.call('chat.history', { sessionKey: 'long' });
  for (let n = 0; n < 3; n += 1) await say(`more-${n}`, 'more');
  reader.ws.resume();
  const answer = await Promise.race([reader.response('history').catch(() => undefined), reader.closed]);
  const isOpen = await reader.request('health').then(
    ({ ok }) => ok === true,
    () => false,
  );
  const events = reader.events('agent').length;
  return { answer, isOpen, events };
}

it('C-064 six megabytes of history reach a slow reader, who is not closed by what happens meanwhile', async () => {
  const { answer, isOpen, events } = await readSlowly();
  expect(answer).toMatchObject({ ok: true, payload: { sessionKey: 'long' } });
  const bytes = Buffer.byteLength(JSON.stringify((answer as { payload: { messages: unknown[] } }).payload.messages));
  expect(bytes).toBeGreaterThan(5_000_000);
  expect(bytes).toBeLessThanOrEqual(6 * 1024 * 1024);
  expect(isOpen).toBe(true);
  expect(events).toBeGreaterThan(0);
}, 60_000);
