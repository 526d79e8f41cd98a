import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createRandom } from '../support/kill.ts';
import type { RawClient } from '../support/raw-client.ts';
import { eventsOf, type Scripted, startScripted } from '../support/scripted.ts';

let world: Scripted;
let client: RawClient;

beforeAll(async () => {
  world = await startScripted(
    {
      talk: [{ chunks: ['a ', 'b ', 'c ', 'd '], everyMs: 25 }],
      tool: [{ text: 'before ' }, { toolCall: { name: 'time', arguments: {} } }],
      '(tool result)': [{ chunks: ['after ', 'the tool'], everyMs: 25 }],
      broken: [{ chunks: ['a ', 'b '], everyMs: 10 }, { error: 'not well' }],
      hang: [{ text: 'a ' }, { hang: true }],
    },
    // Everything is shown, so that the numbers have to be whole.
    { agents: { verboseDefault: 'full' } },
  );
  client = await world.gateway.connect();
});
afterAll(() => world.close());

it('A-009 numbers the events of each run without a gap and ends it exactly once, whatever random stops and failures do to it', async () => {
  const random = createRandom(20_261);
  const runs = Array.from({ length: 80 }, () => {
    const message = random.pick(['talk', 'tool', 'broken', 'hang', 'talk']);
    return {
      key: randomUUID(),
      message,
      session: `s${random.between(0, 12)}`,
      stopAfterMs: message === 'hang' || random.next() < 0.4 ? random.between(0, 150) : undefined,
    };
  });
  await Promise.all(
    runs.map(async ({ key, message, session, stopAfterMs }) => {
      const isTimed = message === 'hang' && random.next() < 0.5;
      client.send({
        type: 'req',
        id: key,
        method: 'agent',
        params: { message, sessionKey: session, idempotencyKey: key, ...(isTimed ? { timeout: 1 } : {}) },
      });
      await client.response(key);
      if (stopAfterMs === undefined || isTimed) return;
      await new Promise((resolve) => setTimeout(resolve, stopAfterMs));
      await client.request('chat.abort', { sessionKey: session, ...(random.next() < 0.7 ? { runId: key } : {}) });
    }),
  );
  // What hangs and was stopped before it began may hang behind another: everybody is let go in the end.
  for (const session of new Set(runs.map((run) => run.session))) await client.request('chat.abort', { sessionKey: session });
  for (const { key } of runs) await client.stages(key);

  const endings = new Map<string, number>();
  for (const { key, message } of runs) {
    const events = eventsOf(client, key, 'agent').map(({ payload }) => payload);
    expect(
      events.map(({ seq }) => seq),
      message,
    ).toEqual(events.map((_, index) => index + 1));
    const ends = events.filter(({ stream, data }) => stream === 'lifecycle' && data.phase !== 'start');
    expect(ends, message).toHaveLength(1);
    expect(events.at(-1)).toBe(ends[0]);
    const chat = eventsOf(client, key, 'chat').filter(({ payload }) => payload.state !== 'delta');
    expect(chat).toHaveLength(1);
    expect(eventsOf(client, key).at(-1)).toBe(chat[0]);
    const state = chat[0]?.payload.state as string;
    endings.set(state, (endings.get(state) ?? 0) + 1);
    // Every message is the sum of its deltas.
    let text = '';
    for (const { stream, data } of events) {
      if (stream === 'tool') text = '';
      if (stream !== 'assistant') continue;
      text += data.delta;
      expect(data.text).toBe(text);
    }
  }
  expect([...endings.keys()].sort()).toEqual(['aborted', 'error', 'final']);
});
