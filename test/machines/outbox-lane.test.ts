import { expect, it } from 'vitest';
import { createActor, fromCallback } from 'xstate';
import { outboxLane, type OutboxLaneEvent } from '../../src/machines/outbox-lane.ts';
import { createVirtualClock } from '../support/virtual-clock.ts';

/** A lane whose looks and calls the test answers. */
function startLane() {
  const clock = createVirtualClock();
  const looks: number[] = [];
  const sends: { rowId: number; at: number }[] = [];
  const actor = createActor(
    outboxLane.provide({
      actors: {
        claim: fromCallback(() => void looks.push(clock.now())) as never,
        send: fromCallback<{ type: string }, { rowId: number }>(({ input }) => {
          sends.push({ rowId: input.rowId, at: clock.now() });
        }) as never,
      },
    }),
    { clock, input: { lane: 'telegram:default:7:' } },
  );
  actor.start();
  return { actor, clock, looks, sends, say: (...events: OutboxLaneEvent[]) => events.forEach((event) => actor.send(event)) };
}
const claimed = (rowId: number) => ({ type: 'row.claimed', rowId }) as const;
const settled = { type: 'row.settled' } as const;
const empty = { type: 'lane.empty' } as const;
const wake = { type: 'lane.wake' } as const;
const drain = { type: 'gateway.drain' } as const;

it.each<[story: string, events: OutboxLaneEvent[], state: unknown]>([
  ['looks for its first row', [], 'claiming'],
  ['sends what it has claimed', [claimed(1)], { sending: 'ongoing' }],
  ['looks again when a row is settled', [claimed(1), settled], 'claiming'],
  ['ends when nothing is left', [empty], 'ended'],
  ['looks once more when a row came between the look and the end', [wake, empty], 'claiming'],
  ['and then ends', [wake, empty, empty], 'ended'],
  ['is woken while it sends, and looks after that anyway', [claimed(1), wake, settled, empty], 'ended'],
  ['waits when nothing is due', [{ type: 'row.later', delayMs: 500 }], 'waiting'],
  ['looks at once when it is woken while it waits', [{ type: 'row.later', delayMs: 500 }, wake], 'claiming'],
  ['ends without a word when it may go', [drain], 'ended'],
  ['ends while it waits', [{ type: 'row.later', delayMs: 500 }, drain], 'ended'],
  ['finishes what is with the platform before it ends', [claimed(1), drain], { sending: 'last' }],
  ['and is not cut off by asking twice', [claimed(1), drain, drain], { sending: 'last' }],
  ['and takes no further row', [claimed(1), drain, settled], 'ended'],
])('%s', (_story, events, state) => {
  const { actor, say } = startLane();
  say(...events);
  expect(actor.getSnapshot().value).toEqual(state);
});

it('never has two rows in hand', () => {
  const { say, sends } = startLane();
  say(claimed(1), claimed(2), wake, settled, claimed(3), settled);
  expect(sends.map(({ rowId }) => rowId)).toEqual([1, 3]);
});

it('M-057 makes no attempt before a parked row is due, however often it is woken', () => {
  const { say, sends, clock, looks } = startLane();
  say(claimed(1), settled);
  for (let left = 120_000; left > 0; left -= 10_000) {
    // Each look is answered by the store: not yet.
    say({ type: 'row.later', delayMs: left });
    clock.advance(10_000 - (left === 10_000 ? 1 : 0));
    if (left > 10_000) say(wake);
    expect(sends).toHaveLength(1);
  }
  const before = looks.length;
  clock.advance(1);
  expect(looks).toHaveLength(before + 1);
  say(claimed(1));
  expect(sends[1]).toEqual({ rowId: 1, at: 120_000 });
});

it('arms a long wait again and again, because a timer of weeks fires at once', () => {
  const { say, clock, looks } = startLane();
  say({ type: 'row.later', delayMs: 40 * 24 * 3_600_000 });
  clock.advance(3_599_999);
  expect(looks).toHaveLength(1);
  clock.advance(1);
  expect(looks).toHaveLength(2);
});
