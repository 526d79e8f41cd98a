/** Who ends a run, in which phase, whichever way it was started: nothing of it goes on, and everybody is told who it was. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { FakeChat } from '../fakes/telegram-bot-api/index.ts';
import { eventually, processes } from '../support/processes.ts';
import type { RawClient } from '../support/raw-client.ts';
import { chatEnd, eventOf, eventsOf } from '../support/scripted.ts';
import { startTelegramWorld, stored, type TelegramWorld } from '../support/telegram-gateway.ts';

type Phase = 'waiting' | 'model' | 'tool';
type Entry = 'chat' | 'agent' | 'channel';

const timeoutSeconds = 3;
const folder = mkdtempSync(join(tmpdir(), 'openclaw-stubborn-'));
const stubborn = join(folder, 'stubborn.sh');
// Ignores SIGTERM, in a group with the shell that waits for it.
writeFileSync(stubborn, "trap '' TERM\nwhile :; do sleep 0.1; done\n");

const script = {
  model: [{ text: 'a beginning ' }, { chunks: Array.from({ length: 10_000 }, (_, index) => `w${index} `), everyMs: 20 }],
  stalling: [{ text: 'a beginning ' }, { hang: true }],
  ...Object.fromEntries(
    ['chat', 'agent', 'channel'].map((entry) => [
      `tool ${entry}`,
      [{ toolCall: { name: 'exec', arguments: { command: `sh ${stubborn} ${entry} & wait` } } }],
    ]),
  ),
};
const tools = { exec: { security: 'full' } };

let world: TelegramWorld;
let quick: TelegramWorld;
const clients = new Map<TelegramWorld, RawClient>();

beforeAll(async () => {
  [world, quick] = await Promise.all([
    startTelegramWorld({ script, tools, agents: { timeoutSeconds } }),
    startTelegramWorld({ script, tools, agents: { stallSeconds: 1 } }),
  ]);
  for (const one of [world, quick]) clients.set(one, await one.gateway.connect());
});
afterAll(async () => {
  await Promise.all([world.close(), quick.close()]);
  rmSync(folder, { recursive: true, force: true });
});

/** Processes of the tool of a run that came that way. */
const alive = (entry: Entry) => processes().filter(({ command }) => command.includes(`${stubborn} ${entry}`));

interface Going {
  runId: string;
  sessionKey: string;
  requestId: string;
  chat: FakeChat | undefined;
}

/** Starts a run by an entry point. It is accepted when this returns. */
async function enter(place: TelegramWorld, entry: Entry, text: string, from?: Going): Promise<Going> {
  const client = clients.get(place) as RawClient;
  const runId = randomUUID();
  const sessionKey = from?.sessionKey ?? `s-${runId}`;
  if (entry === 'chat') {
    await client.call('chat.send', { sessionKey, message: text, idempotencyKey: runId });
    return { runId, sessionKey, requestId: '', chat: undefined };
  }
  if (entry === 'agent') {
    client.send({ type: 'req', id: runId, method: 'agent', params: { sessionKey, message: text, idempotencyKey: runId } });
    await client.response(runId);
    return { runId, sessionKey, requestId: runId, chat: undefined };
  }
  const chat = from?.chat ?? place.bot.person();
  const known = new Set(runsOf(place, chat).map((row) => row['run_id']));
  chat.say(text);
  const row = await poll(() => runsOf(place, chat).find((one) => !known.has(one['run_id'])));
  return { runId: String(row['run_id']), sessionKey: String(row['session_key']), requestId: '', chat };
}

const runsOf = (place: TelegramWorld, chat: FakeChat) =>
  stored(place.gateway, 'SELECT * FROM runs WHERE session_key LIKE ? ORDER BY position', `%:${chat.id}`);

async function poll<T>(look: () => T | undefined): Promise<T> {
  let found: T | undefined;
  await eventually(() => (found = look()) !== undefined, 'the run is accepted');
  return found as T;
}

/** Waits until a run is in that phase. */
async function inPhase(client: RawClient, phase: Phase, entry: Entry, { runId }: Going): Promise<void> {
  if (phase === 'waiting') return;
  if (phase === 'model') await client.find((frame) => eventOf(runId, 'agent')(frame) && frame.payload.stream === 'assistant');
  else await eventually(() => alive(entry).length >= 1, 'the tool runs');
}

const rowOf = (place: TelegramWorld, runId: string) => stored(place.gateway, 'SELECT * FROM runs WHERE run_id = ?', runId)[0];

/** The conversation answers the next message at once, and the run that ended says nothing any more. */
async function isOver(place: TelegramWorld, entry: Entry, going: Going): Promise<void> {
  const client = clients.get(place) as RawClient;
  await eventually(() => alive(entry).length === 0, 'no process of the tool is left', 5_000);
  const count = eventsOf(client, going.runId).length;
  const next = await enter(place, entry, 'next', going);
  expect((await chatEnd(client, next.runId)).payload.state).toBe('final');
  expect(eventsOf(client, going.runId)).toHaveLength(count);
  const phases = eventsOf(client, going.runId, 'agent').flatMap(({ payload }) =>
    payload.stream === 'lifecycle' ? [payload.data.phase] : [],
  );
  expect(phases.filter((phase) => phase !== 'start')).toHaveLength(1);
  if (going.chat) await place.telegram.until(() => going.chat?.answers().includes('you said: next') === true, 'the next answer');
}

const entries: Entry[] = ['chat', 'agent', 'channel'];
const phases: Phase[] = ['waiting', 'model', 'tool'];

const textOf = (phase: Phase, entry: Entry) => (phase === 'tool' ? `tool ${entry}` : phase);

it.each(phases)('F-20 a stop in the phase %s ends a run, however it was started, and nothing of it goes on', async (phase) => {
  const acknowledged = await Promise.all(entries.map((entry) => stopped(phase, entry)));
  // The quickest of them: a busy machine may hold up one, the gateway would hold up all.
  expect(Math.min(...acknowledged)).toBeLessThan(250);
});

/** @returns how long it took until the stop was acknowledged. */
async function stopped(phase: Phase, entry: Entry): Promise<number> {
  const client = clients.get(world) as RawClient;
  const before = phase === 'waiting' ? await enter(world, entry, 'model') : undefined;
  if (before) await inPhase(client, 'model', entry, before);
  const going = await enter(world, entry, textOf(phase === 'waiting' ? 'tool' : phase, entry), before);
  await inPhase(client, phase, entry, going);
  const from = performance.now();
  if (entry === 'channel') going.chat?.say('/stop');
  else {
    const { runIds } = await client.call('chat.abort', { sessionKey: going.sessionKey });
    expect([...runIds].sort()).toEqual([going.runId, ...(before ? [before.runId] : [])].sort());
  }
  const acknowledged = performance.now() - from;
  const by = entry === 'channel' ? 'stop' : 'rpc';
  for (const one of before ? [before, going] : [going]) {
    expect((await chatEnd(client, one.runId)).payload).toMatchObject({ state: 'aborted', stopReason: by });
    expect(rowOf(world, one.runId)).toMatchObject({ state: 'aborted', starts: phase === 'waiting' && one === going ? 0 : 1 });
    if (entry !== 'agent') continue;
    const [, final] = await client.stages(one.requestId);
    expect(final).toMatchObject({
      ok: true,
      payload: { status: 'ok', summary: 'aborted', result: { meta: { aborted: true, stopReason: by } } },
    });
  }
  expect(performance.now() - from).toBeLessThan(5_000);
  if (going.chat) {
    const told = before ? 'Stopped 2 runs.' : 'Stopped.';
    await world.telegram.until(() => going.chat?.answers().includes(told) === true, 'the stop is answered');
    expect(going.chat.answers()).toEqual([told]);
  }
  await isOver(world, entry, going);
  return entry === 'channel' ? Number.POSITIVE_INFINITY : acknowledged;
}

it.each(['timeout', 'stall'] as const)(
  'F-20 a %s ends a run in every phase, however it was started, and says which limit it was',
  async (end) => {
    await Promise.all((['model', 'tool'] as const).flatMap((phase) => entries.map((entry) => late(end, phase, entry))));
  },
);

async function late(end: 'timeout' | 'stall', phase: 'model' | 'tool', entry: Entry): Promise<void> {
  const place = end === 'timeout' ? world : quick;
  const client = clients.get(place) as RawClient;
  const going = await enter(place, entry, phase === 'model' && end === 'stall' ? 'stalling' : textOf(phase, entry));
  await inPhase(client, phase, entry, going);
  const said =
    end === 'timeout'
      ? `took longer than ${timeoutSeconds} s (agents.defaults.timeoutSeconds)`
      : 'made no progress for 1 s (agents.defaults.stallSeconds)';
  const doing = phase === 'model' ? 'waiting for openclaw/script' : 'the tool exec was running';
  const { payload } = await chatEnd(client, going.runId);
  if (entry === 'chat') expect(payload).toMatchObject({ state: 'aborted', stopReason: 'timeout' });
  else {
    expect(payload).toMatchObject({ state: 'error' });
    expect(payload.errorMessage).toContain(said);
  }
  const row = rowOf(place, going.runId);
  expect(row).toMatchObject({ state: 'timedOut' });
  const { error } = JSON.parse(String(row?.['final'])) as { error: { code: string; message: string } };
  expect(error.code).toBe('AGENT_TIMEOUT');
  expect(error.message).toContain(said);
  expect(error.message).toContain(doing);
  if (entry === 'agent') {
    const [, final] = await client.stages(going.requestId);
    expect(final).toMatchObject({ ok: false, payload: { status: 'error' }, error });
  }
  if (going.chat) {
    await place.telegram.until(() => going.chat?.answers().length === 1, 'the person is told');
    expect(going.chat.answers()[0]).toContain('took too long');
  }
  await isOver(place, entry, going);
}
