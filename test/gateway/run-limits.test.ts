import { randomUUID } from 'node:crypto';
import { expect, it, onTestFinished } from 'vitest';
import { agentEvent, chatEnd, type ScriptedOptions, startScripted } from '../support/scripted.ts';
import { type Script, stored } from '../support/telegram-gateway.ts';

async function start(script: Script, options?: ScriptedOptions) {
  const world = await startScripted(script, options);
  onTestFinished(() => world.close());
  return world.gateway;
}

interface Interval {
  session: string;
  lane: string;
  from: number;
  to: number;
}

/** How many of them overlap at their fullest moment; one that ends as another begins does not overlap it. */
function most(intervals: readonly Interval[]): number {
  const moments = intervals.flatMap(({ from, to }) => [
    { at: from, step: 1 },
    { at: to, step: -1 },
  ]);
  moments.sort((a, b) => a.at - b.at || a.step - b.step);
  let now = 0;
  return Math.max(...moments.map(({ step }) => (now += step)));
}

it('A-029 runs at most four of the main lane at once and one of each conversation, with fifty conversations waiting', async () => {
  const gateway = await start({ '*': [{ chunks: ['a', 'b'], everyMs: 15 }] });
  const client = await gateway.connect();
  const sessions = Array.from({ length: 50 }, (_, index) => `s${index}`);
  const keys: string[] = [];
  const begin = (sessionKey: string, lane?: string) => {
    const key = randomUUID();
    keys.push(key);
    client.send({
      type: 'req',
      id: key,
      method: 'agent',
      params: { message: 'hello', sessionKey, idempotencyKey: key, ...(lane === undefined ? {} : { lane }) },
    });
  };
  for (let round = 0; round < 2; round += 1) for (const sessionKey of sessions) begin(sessionKey);
  // A lane of its own does not stand behind the fifty.
  begin('aside', 'aside');
  for (const key of keys) expect((await client.stages(key))[1].ok).toBe(true);
  const rows = stored(gateway, 'SELECT session_key, lane, started_at, ended_at, position FROM runs ORDER BY position');
  const intervals = rows.map(
    (row): Interval => ({
      session: String(row['session_key']),
      lane: String(row['lane']),
      from: Number(row['started_at']),
      to: Number(row['ended_at']),
    }),
  );
  expect(intervals).toHaveLength(101);
  const main = intervals.filter(({ lane }) => lane === 'main');
  expect(most(main)).toBe(4);
  for (const sessionKey of sessions) expect(most(main.filter(({ session }) => session === `agent:main:${sessionKey}`))).toBe(1);
  const aside = intervals.at(-1) as Interval;
  expect(main.filter(({ from }) => from > aside.to).length).toBeGreaterThan(50);
});

it('F-06 a run that hangs where it is prepared, in its model or in its tool frees its conversation by itself', async () => {
  const gateway = await start(
    { tool: [{ toolCall: { name: 'time', arguments: {} } }], '(tool result)': [{ text: 'told' }] },
    { agents: { stallSeconds: 1 }, env: { OPENCLAW_FAIL_POINTS: 'run.started:1:hang,run.model:1:hang,run.tool:1:hang' } },
  );
  const client = await gateway.connect();
  const keys: string[] = [];
  for (const message of ['in prepare', 'in the model', 'tool', 'tool']) {
    const key = randomUUID();
    keys.push(key);
    await client.call('chat.send', { sessionKey: 'one', message, idempotencyKey: key });
  }
  const ends = [];
  for (const key of keys) ends.push((await chatEnd(client, key)).payload);
  expect(ends.map(({ state, stopReason }) => stopReason ?? state)).toEqual(['timeout', 'timeout', 'timeout', 'final']);
  await agentEvent(client, keys[3] as string, ({ data }) => data.phase === 'end');
  const rows = stored(gateway, 'SELECT started_at, ended_at, final FROM runs ORDER BY position');
  for (const row of rows.slice(0, 3)) {
    // The limit and the grace.
    expect(Number(row['ended_at']) - Number(row['started_at'])).toBeLessThan(1_000 + 5_000);
  }
  const said = rows.slice(0, 3).map(({ final }) => (JSON.parse(String(final)) as { error: { message: string } }).error.message);
  expect(said.map((message) => /while (.*)$/.exec(message)?.[1])).toEqual([
    'it was prepared',
    'its model was chosen',
    'it was about to use a tool',
  ]);
});
