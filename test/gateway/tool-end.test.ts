import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { startScripted } from '../support/scripted.ts';

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z');
  } catch {
    return false;
  }
};

it('A-017 abandons a tool that ignores its end, frees the session, and leaves nothing of it running', async () => {
  // The shell ends at a polite word; what it started does not, and has let go of every pipe.
  const command = `(trap '' TERM; echo $$ > shell; exec sh -c 'echo $$ > child; exec sleep 300' >/dev/null 2>&1) & wait`;
  const { gateway, close } = await startScripted(
    { tool: [{ toolCall: { name: 'exec', arguments: { command } } }], '*': [{ text: 'free' }] },
    { more: { tools: { exec: { security: 'full' } } } },
  );
  onTestFinished(close);
  const client = await gateway.connect();
  await client.call('chat.send', { sessionKey: 'main', message: 'tool', idempotencyKey: 'stuck' });
  const childFile = join(gateway.home, '.openclaw', 'workspace', 'child');
  await expect.poll(() => existsSync(childFile) && readFileSync(childFile, 'utf8').trim(), { timeout: 10_000 }).toBeTruthy();
  const pid = Number(readFileSync(childFile, 'utf8'));
  expect(isAlive(pid)).toBe(true);
  await client.call('chat.abort', { sessionKey: 'main' });
  await client.call('chat.send', { sessionKey: 'main', message: 'hi', idempotencyKey: 'next' });
  await client.event('chat', (payload) => payload.runId === 'next' && payload.state === 'final', 2_000);
  await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false);
});
