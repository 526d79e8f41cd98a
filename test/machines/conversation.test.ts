import { createActor, fromCallback } from 'xstate';
import { expect, it } from 'vitest';
import { agentRun } from '../../src/machines/agent-run.ts';
import { conversation, type ConversationEvent, type Ending, type RunTicket } from '../../src/machines/conversation.ts';
import { createVirtualClock } from '../support/virtual-clock.ts';

const ticketOf = (runId: string, more: Partial<RunTicket> = {}): RunTicket => ({
  runId,
  lane: 'main',
  timeoutMs: 600_000,
  stallMs: 180_000,
  maxSteps: 5,
  resumed: false,
  ...more,
});

type Slot = 'laneSlot' | 'prepare' | 'modelStep' | 'tools' | 'delivery';
type Ended = [runId: string, how: string];

/** A conversation whose first run hangs for ever in one slot, and whose other parts answer at once. */
function startConversation({ hangs, fails, parked = false }: { hangs?: Slot; fails?: Slot; parked?: boolean } = {}) {
  const clock = createVirtualClock();
  const ended: Ended[] = [];
  const abandoned: string[] = [];
  const part = (slot: Slot, answer: (runId: string) => { type: string }) =>
    fromCallback<{ type: string }, { runId: string; ending?: Ending }>(({ input, sendBack }) => {
      if (input.runId === 'first' && slot === hangs) return;
      if (input.runId === 'first' && slot === fails) throw new Error(`${slot} broke`);
      if (input.ending) ended.push([input.runId, 'what' in input.ending ? input.ending.what : input.ending.state]);
      sendBack(answer(input.runId));
    });
  let steps = 0;
  const run = agentRun.provide({
    actors: {
      laneSlot: part('laneSlot', () => ({ type: 'slot.granted' })) as never,
      prepare: part('prepare', () => ({ type: 'run.prepared' })),
      modelStep: part('modelStep', () => ({ type: (steps += 1) === 1 ? 'step.tools' : 'step.text' })),
      tools: part('tools', () => ({ type: 'tools.ended' })),
    },
  });
  const machine = conversation.provide({
    actors: { run, delivery: part('delivery', () => ({ type: 'delivery.ended' })) as never },
    actions: { abandon: (_, { runId }) => void abandoned.push(runId) },
  });
  const actor = createActor(machine, { input: { sessionKey: 'key', parked, first: ticketOf('first') }, clock: clock as never });
  /** Being busy is having a run, whatever else is going on. */
  const isHonest = () => {
    const { value, context, status } = actor.getSnapshot();
    const place = typeof value === 'string' ? value : Object.keys(value)[0];
    return status !== 'active' || context.queue.length === 0 || ['running', 'delivering', 'parked'].includes(place ?? '');
  };
  actor.subscribe(() => expect(isHonest()).toBe(true));
  actor.start();
  return { actor, clock, ended, abandoned, send: (event: ConversationEvent) => actor.send(event) };
}

it.each<[slot: Slot, limitMs: number, ended: Ended[], abandoned: string[]]>([
  [
    'laneSlot',
    30 * 60_000,
    [
      ['first', 'queue'],
      ['second', 'done'],
    ],
    [],
  ],
  [
    'prepare',
    180_000,
    [
      ['first', 'stall'],
      ['second', 'done'],
    ],
    [],
  ],
  [
    'modelStep',
    180_000,
    [
      ['first', 'stall'],
      ['second', 'done'],
    ],
    [],
  ],
  [
    'tools',
    180_000,
    [
      ['first', 'stall'],
      ['second', 'done'],
    ],
    [],
  ],
  ['delivery', 15_000, [['second', 'done']], ['first']],
])('F-06 goes on when %s hangs for ever', (slot, limitMs, ended, abandoned) => {
  const world = startConversation({ hangs: slot });
  world.send({ type: 'run.submitted', ticket: ticketOf('second') });
  world.clock.advance(limitMs - 1);
  expect(world.actor.getSnapshot().status).toBe('active');
  world.clock.advance(1);
  expect(world.ended).toEqual(ended);
  expect(world.abandoned).toEqual(abandoned);
  expect(world.actor.getSnapshot().status).toBe('done');
  expect(world.clock.pending).toBe(0);
});

it('ends a run at its own deadline although it makes progress', () => {
  const world = startConversation({ hangs: 'modelStep' });
  for (let second = 0; second < 599; second += 1) {
    world.clock.advance(1_000);
    world.send({ type: 'run.progress', runId: 'first' });
  }
  expect(world.ended).toEqual([]);
  world.clock.advance(1_000);
  expect(world.ended).toEqual([['first', 'deadline']]);
});

it.each<Slot>(['laneSlot', 'prepare', 'modelStep', 'tools'])('fails a run whose %s breaks, and ends', (slot) => {
  const world = startConversation({ fails: slot });
  expect(world.actor.getSnapshot().status).toBe('done');
  expect(world.ended[0]).toEqual(['first', 'failed']);
});

it('aborts a run in every phase, and all that wait behind it', () => {
  for (const hangs of ['laneSlot', 'prepare', 'modelStep', 'tools'] as const) {
    const world = startConversation({ hangs });
    world.send({ type: 'run.submitted', ticket: ticketOf('second') });
    world.send({ type: 'run.abort', by: 'rpc' });
    expect(world.ended).toEqual([
      ['first', 'aborted'],
      ['second', 'aborted'],
    ]);
    expect(world.actor.getSnapshot().status).toBe('done');
    expect(world.clock.pending).toBe(0);
  }
});

it('ends a parked run that is aborted', () => {
  const world = startConversation({ parked: true });
  world.send({ type: 'run.abort', by: 'stop' });
  expect(world.ended).toEqual([['first', 'aborted']]);
});

it('starts nothing more once a shutdown was announced while an end was being written down', () => {
  const world = startConversation({ hangs: 'delivery' });
  world.send({ type: 'run.submitted', ticket: ticketOf('second') });
  world.send({ type: 'run.abort', by: 'shutdown' });
  world.clock.advance(15_000);
  expect(world.actor.getSnapshot().value).toBe('parked');
  expect(world.ended).toEqual([]);
});
