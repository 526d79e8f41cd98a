import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defaultConfig, type Gateway, startGateway } from '../support/gateway.ts';
import type { RawClient } from '../support/raw-client.ts';

let gateway: Gateway;
let client: RawClient;

beforeAll(async () => {
  // The token, and nothing about agents, models or tools.
  gateway = await startGateway();
  client = await gateway.connect();
});
afterAll(() => gateway.close());

async function ask(
  message: string,
  sessionKey = `s-${randomUUID()}`,
  from = client,
): Promise<{ text: string; meta: Record<string, unknown> }> {
  const id = randomUUID();
  from.send({ type: 'req', id, method: 'agent', params: { message, sessionKey, idempotencyKey: id } });
  const [ack, final] = await from.stages(id);
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
});

it('A-002 runs a command under the policy of the session and shows what it printed', async () => {
  const sessionKey = `s-${randomUUID()}`;
  expect((await ask('run echo hi', sessionKey)).text).toBe('hi');
  const { messages } = await client.call('chat.history', { sessionKey });
  expect(messages.map(({ role }: { role: string }) => role)).toEqual(['user', 'assistant', 'toolResult', 'assistant']);
  expect(messages[1].content[0]).toMatchObject({ type: 'toolCall', name: 'exec', arguments: { command: 'echo hi' } });
  expect(messages[2]).toMatchObject({ toolName: 'exec', isError: false, content: [{ type: 'text', text: 'hi' }] });
});

it('A-002 lets the owner run anything in the main conversation, and everybody elsewhere only what shows something', async () => {
  expect((await ask('run echo hi | tr h j', 'main')).text).toBe('ji');
  const secrets = gateway.configPath;
  for (const command of [
    'echo hi | tr h j',
    `cat ${secrets}`,
    `date -f ${secrets}`,
    `wc ${secrets}`,
    'echo $HOME',
    'hostname other',
    'sh -c id',
    'touch x',
  ]) {
    const { text } = await ask(`run ${command}`);
    expect(text, command).toMatch(/^That did not work: .*(?:allowlist|Only plain commands)/);
    expect(text).not.toContain('test-token');
  }
  for (const command of ['ls', 'pwd', 'date +%Y', 'uname -a', 'whoami', 'df -h'])
    expect((await ask(`run ${command}`)).text, command).not.toMatch(/^That did not work/);
});

it('A-047 hands neither a provider key nor a token of the gateway to a command', async () => {
  const canaries = {
    OPENCLAW_GATEWAY_TOKEN: 'test-token-0123456789abcdef0123456789abcdef',
    OPENCLAW_ANYTHING: 'canary-of-ours',
    ANTHROPIC_API_KEY: 'canary-anthropic',
    ANTHROPIC_OAUTH_TOKEN: 'canary-oauth',
    OPENAI_API_KEY: 'canary-openai',
    GEMINI_API_KEY: 'canary-gemini',
    TELEGRAM_BOT_TOKEN: 'canary-telegram',
    // Its value is the token that the config holds.
    MY_OWN_NAME_FOR_IT: 'test-token-0123456789abcdef0123456789abcdef',
  };
  const careful = await startGateway({
    config: { ...defaultConfig, agents: { defaults: { model: 'openclaw/assistant' } } },
    env: { ...canaries, HARMLESS: 'is there' },
  });
  try {
    const { text } = await ask('run env; cat /proc/$PPID/cmdline', 'main', await careful.connect());
    expect(text).toContain('HARMLESS=is there');
    expect(text).toContain('PATH=');
    for (const [name, value] of Object.entries(canaries)) {
      expect(text).not.toContain(`${name}=`);
      expect(text).not.toContain(value);
    }
  } finally {
    await careful.close();
  }
});

it('A-003 gives the same answer twice in the same state', async () => {
  for (const message of ['hi', 'help', 'what is the meaning of life?', '12 * (3 + 4)', 'run echo hi', 'o que sabes fazer com ficheiros']) {
    const [first, second] = [await ask(message), await ask(message)];
    expect(first.text).not.toBe('');
    expect(second.text).toBe(first.text);
  }
});
