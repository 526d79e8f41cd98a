/** What becomes of runs when the process is killed under them. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it, onTestFinished } from 'vitest';
import type { Gateway } from '../support/gateway.ts';
import { eventually, processes } from '../support/processes.ts';
import type { Frame, RawClient } from '../support/raw-client.ts';
import { agentEvent, type Scripted, type ScriptedOptions, started, startScripted } from '../support/scripted.ts';
import { type Script, startTelegramWorld, stored } from '../support/telegram-gateway.ts';

const full = { tools: { exec: { security: 'full' } } };

/** Files of one test, and a command that writes one line and then goes on until it is let go. */
function workshop() {
  const folder = mkdtempSync(join(tmpdir(), 'openclaw-tool-'));
  const [lines, busy, loop] = [join(folder, 'lines'), join(folder, 'busy'), join(folder, 'loop.sh')];
  writeFileSync(busy, '');
  writeFileSync(loop, `trap '' TERM\necho done >> ${lines}\nwhile [ -e ${busy} ]; do sleep 0.1; done\n`);
  onTestFinished(async () => {
    rmSync(busy, { force: true });
    await eventually(() => !processes().some(({ command }) => command.includes(loop)), 'the command is gone');
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    command: `sh ${loop}`,
    lines: () => (existsSync(lines) ? readFileSync(lines, 'utf8').trim().split('\n') : []),
    isBusy: () => processes().some(({ command }) => command.includes(loop)),
  };
}

async function scripted(script: Script, options?: ScriptedOptions): Promise<Scripted> {
  const world = await startScripted(script, options);
  onTestFinished(() => world.close());
  return world;
}

function ask(client: RawClient, message: string, key: string = randomUUID(), sessionKey = 'talk'): string {
  client.send({ type: 'req', id: key, method: 'agent', params: { message, sessionKey, idempotencyKey: key } });
  return key;
}

const rowsOf = (gateway: Gateway) => stored(gateway, 'SELECT * FROM runs ORDER BY position');
const waitFor = (client: RawClient, runId: string) => client.call('agent.wait', { runId });
const messagesOf = async (client: RawClient): Promise<Frame['payload'][]> =>
  (await client.call('chat.history', { sessionKey: 'talk' })).messages;

/** Kills the gateway without a warning and starts it again. */
async function killed(world: Scripted): Promise<RawClient> {
  await world.gateway.kill();
  return (await world.restart()).connect();
}

it('A-013 answers the key of a finished run after a restart without asking the model again', async () => {
  const world = await scripted({ '*': [{ text: 'the first answer' }] });
  const before = await world.gateway.connect();
  const key = ask(before, 'hello');
  const [, final] = await before.stages(key);
  const failed = ask(before, 'x', 'failed', 'other');
  await before.stages(failed);
  world.write({ '*': [{ text: 'another answer' }] });
  const client = await killed(world);
  ask(client, 'hello', key);
  expect(await client.response(key)).toEqual(final);
  expect(await waitFor(client, key)).toMatchObject({ status: 'ok' });
  expect(rowsOf(world.gateway).map(({ starts }) => starts)).toEqual([1, 1]);
  expect(await messagesOf(client)).toHaveLength(2);
  expect(client.frames.filter(({ id }) => id === key)).toHaveLength(1);
  const chat = await client.call('chat.send', { sessionKey: 'talk', message: 'hello', idempotencyKey: key });
  expect(chat).toEqual({ runId: key, status: 'ok' });
});

it('starts a run that had only talked once more, and those behind it in their order', async () => {
  const world = await scripted({ first: [{ text: 'a beginning' }, { hang: true }] });
  const before = await world.gateway.connect();
  const keys = [ask(before, 'first'), ask(before, 'second'), ask(before, 'third')];
  await agentEvent(before, keys[0] as string, ({ stream }) => stream === 'assistant');
  await Promise.all(keys.map((key) => before.response(key)));
  world.write({});
  const client = await killed(world);
  for (const key of keys) expect(await waitFor(client, key)).toMatchObject({ status: 'ok' });
  const texts = (await messagesOf(client)).map(({ content }) => content[0].text);
  expect(texts).toEqual(['first', 'you said: first', 'second', 'you said: second', 'third', 'you said: third']);
  expect(rowsOf(world.gateway).map(({ starts, state }) => [starts, state])).toEqual([
    [2, 'done'],
    [1, 'done'],
    [1, 'done'],
  ]);
});

it('does not start a run a third time', async () => {
  const world = await scripted({ first: [{ hang: true }] });
  const before = await world.gateway.connect();
  const key = ask(before, 'first');
  await started(before, key);
  let client = await killed(world);
  await eventually(() => rowsOf(world.gateway)[0]?.['starts'] === 2, 'the second start');
  client = await killed(world);
  expect(await waitFor(client, key)).toMatchObject({ status: 'error' });
  expect(rowsOf(world.gateway)).toEqual([expect.objectContaining({ state: 'interrupted', starts: 2 })]);
});

it('A-031 repeats a run that was interrupted before any tool once while it is young, and reports one that is not', async () => {
  const world = await scripted({ young: [{ hang: true }], old: [{ hang: true }] });
  const before = await world.gateway.connect();
  const [young, old] = [ask(before, 'young', 'young', 'one'), ask(before, 'old', 'old', 'two')];
  for (const key of [young, old]) await started(before, key);
  world.write({});
  await world.gateway.kill();
  const db = new DatabaseSync(join(world.gateway.stateDir, 'gateway.db'));
  db.prepare('UPDATE runs SET accepted_at = accepted_at - ? WHERE run_id = ?').run(10 * 60_000 + 1_000, old);
  db.close();
  const client = await (await world.restart()).connect();
  expect(await waitFor(client, young)).toMatchObject({ status: 'ok' });
  expect(await waitFor(client, old)).toMatchObject({ status: 'error', error: expect.stringContaining('interrupted') });
  ask(client, 'old', old);
  expect(await client.response(old)).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE' }, payload: { status: 'error' } });
});

it('repeats a run whose tools only looked', async () => {
  const world = await scripted(
    { look: [{ toolCall: { name: 'recall', arguments: { query: '' } } }], '(tool result)': [{ hang: true }] },
    { agents: { verboseDefault: 'on' } },
  );
  const before = await world.gateway.connect();
  const key = ask(before, 'look');
  await agentEvent(before, key, ({ stream, data }) => stream === 'tool' && data.phase === 'result');
  world.write({ look: [{ text: 'seen' }] });
  const client = await killed(world);
  expect(await waitFor(client, key)).toMatchObject({ status: 'ok' });
  expect(rowsOf(world.gateway)).toEqual([expect.objectContaining({ state: 'done', starts: 2 })]);
});

it.each(['while it ran', 'after it'])('does not repeat a run that was killed with a command of its own, %s', async (when) => {
  const tool = workshop();
  const command = when === 'while it ran' ? tool.command : `${tool.command} & sleep 0.3`;
  const world = await scripted(
    { write: [{ text: 'I write.' }, { toolCall: { name: 'exec', arguments: { command } } }], '(tool result)': [{ hang: true }] },
    { more: full, agents: { verboseDefault: 'on' } },
  );
  const before = await world.gateway.connect();
  const key = ask(before, 'write');
  if (when === 'while it ran') await eventually(() => tool.lines().length === 1, 'the command wrote');
  else await agentEvent(before, key, ({ stream, data }) => stream === 'tool' && data.phase === 'result');
  const client = await killed(world);
  expect(await waitFor(client, key)).toMatchObject({ status: 'error', error: expect.stringContaining('exec is unknown') });
  ask(client, 'write', key);
  expect(await client.response(key)).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE' }, payload: { runId: key, status: 'error' } });
  expect(tool.lines()).toEqual(['done']);
  expect(rowsOf(world.gateway)).toEqual([expect.objectContaining({ state: 'interrupted', starts: 1, noted: null })]);
  const messages = await messagesOf(client);
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'toolResult']);
  expect(messages[1].content).toEqual([
    { type: 'text', text: 'I write.' },
    expect.objectContaining({ type: 'toolCall', name: 'exec', arguments: { command } }),
  ]);
  expect(messages[2]).toMatchObject({
    toolName: 'exec',
    toolCallId: messages[1].content[1].id,
    isError: true,
    content: [{ type: 'text', text: 'interrupted, outcome unknown' }],
  });
  // The conversation goes on with what is known.
  expect((await client.stages(ask(client, 'hello')))[1]).toMatchObject({ ok: true });
});

it('asks the person in the chat whether to go on when a command was cut off', async () => {
  const tool = workshop();
  const world = await startTelegramWorld({
    script: { write: [{ toolCall: { name: 'exec', arguments: { command: tool.command } } }] },
    ...full,
  });
  onTestFinished(() => world.close());
  const ann = world.bot.person();
  ann.say('write');
  await eventually(() => tool.lines().length === 1, 'the command wrote');
  await world.gateway.kill();
  await world.restart();
  await world.telegram.until(() => ann.answers().length === 1, 'the question');
  expect(ann.answers()[0]).toMatch(/exec.*cannot tell.*continue\?/);
  ann.say('hello');
  await world.telegram.until(() => ann.answers().length === 2, 'the next answer');
  expect(ann.answers()[1]).toBe('you said: hello');
  expect(tool.lines()).toEqual(['done']);
});

it('a command that ignores SIGTERM does not outlive a gateway that was asked to stop', async () => {
  const tool = workshop();
  const world = await scripted({ write: [{ toolCall: { name: 'exec', arguments: { command: tool.command } } }] }, { more: full });
  const client = await world.gateway.connect();
  const key = ask(client, 'write');
  await eventually(() => tool.lines().length === 1, 'the command wrote');
  expect(await world.gateway.stop()).toEqual({ code: 0, signal: null });
  await eventually(() => !tool.isBusy(), 'the command is gone', 5_000);
  const [, final] = await client.stages(key);
  expect(final).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE' } });
});
