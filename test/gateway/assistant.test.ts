import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.ts';
import type { RawClient } from '../support/raw-client.ts';

let gateway: Gateway;
let client: RawClient;

beforeAll(async () => {
  // The token, and nothing about agents, models or tools.
  gateway = await startGateway({
    env: { ANTHROPIC_UNRELATED: 'x', HIDDEN_FROM_NOBODY: 'seen', OPENCLAW_SECRET_CANARY: 'canary-1', TELEGRAM_BOT_TOKEN: undefined },
  });
  client = await gateway.connect();
});
afterAll(() => gateway.close());

async function ask(message: string, sessionKey = `s-${randomUUID()}`): Promise<{ text: string; meta: Record<string, unknown> }> {
  const id = randomUUID();
  client.send({ type: 'req', id, method: 'agent', params: { message, sessionKey, idempotencyKey: id } });
  const [ack, final] = await client.stages(id);
  expect(ack.payload.status).toBe('accepted');
  expect(final).toMatchObject({ ok: true, payload: { status: 'ok', summary: 'completed' } });
  const { payloads, meta } = final.payload.result;
  return { text: payloads.map((one: { text: string }) => one.text).join('\n'), meta };
}

it('A-001 answers hi without any configuration and without keys', async () => {
  const { text, meta } = await ask('hi');
  expect(meta['agentMeta']).toMatchObject({ provider: 'openclaw', model: 'assistant' });
  // It says what it is and how to get more.
  expect(text).toContain('built-in assistant');
  expect(text).toContain('ANTHROPIC_API_KEY');
  expect((await client.call('health')).model ?? 'openclaw/assistant').toBe('openclaw/assistant');
});

it('A-002 runs a command under the policy of the session and shows what it printed', async () => {
  const sessionKey = `s-${randomUUID()}`;
  expect((await ask('run echo hi', sessionKey)).text).toBe('hi');
  const { messages } = await client.call('chat.history', { sessionKey });
  expect(messages.map(({ role }: { role: string }) => role)).toEqual(['user', 'assistant', 'toolResult', 'assistant']);
  expect(messages[1].content[0]).toMatchObject({ type: 'toolCall', name: 'exec', arguments: { command: 'echo hi' } });
  expect(messages[2]).toMatchObject({ toolName: 'exec', isError: false, content: [{ type: 'text', text: 'hi' }] });
});

it('A-003 gives the same answer twice in the same state', async () => {
  for (const message of ['hi', 'help', 'what is the meaning of life?', '12 * (3 + 4)', 'run echo hi', 'o que sabes fazer com ficheiros']) {
    const [first, second] = [await ask(message), await ask(message)];
    expect(first.text).not.toBe('');
    expect(second.text).toBe(first.text);
  }
});
