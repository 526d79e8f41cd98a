/**
 * Works off one lane: the messages of one chat, strictly in order. Owns when the next one may leave; the platform call and
 * the row belong to the invoked actors. Ends when the lane is empty.
 *   claiming ──row.claimed──▶ sending ──row.settled──▶ claiming … ──lane.empty──▶ ended
 *      └──row.later──▶ waiting ──until──▶ claiming
 */
import { assign, setup } from 'xstate';
import { notProvided } from './not-provided.ts';

export type OutboxLaneEvent =
  | { type: 'row.claimed'; rowId: number }
  | { type: 'row.later'; delayMs: number }
  | { type: 'row.settled' }
  | { type: 'lane.empty' }
  | { type: 'lane.wake' }
  | { type: 'gateway.drain' };

/** A long deadline is re-armed: timers beyond 24.8 days fire at once. */
const maxDelayMs = 3_600_000;

export const outboxLane = setup({
  types: {
    input: {} as { lane: string },
    context: {} as { lane: string; rowId: number; delayMs: number; wanted: boolean },
    events: {} as OutboxLaneEvent,
  },
  actors: { claim: notProvided<{ lane: string }>('claim'), send: notProvided<{ lane: string; rowId: number }>('send') },
  guards: { isWanted: ({ context }) => context.wanted },
  delays: { untilDue: ({ context }) => Math.min(maxDelayMs, context.delayMs) },
  actions: {
    noteRow: assign({ rowId: ({ event }) => (event as { rowId: number }).rowId }),
    noteDelay: assign({ delayMs: ({ event }) => (event as { delayMs: number }).delayMs }),
    /** A row may have come between the look and the end; it must not wait for the next one. */
    noteWanted: assign({ wanted: true }),
    forgetWanted: assign({ wanted: false }),
  },
}).createMachine({
  id: 'outboxLane',
  context: ({ input }) => ({ lane: input.lane, rowId: 0, delayMs: 0, wanted: false }),
  initial: 'claiming',
  on: { 'lane.wake': { actions: 'noteWanted' }, 'gateway.drain': '.ended' },
  states: {
    claiming: {
      entry: 'forgetWanted',
      invoke: { id: 'claim', src: 'claim', input: ({ context }) => ({ lane: context.lane }) },
      on: {
        'row.claimed': { target: 'sending', actions: 'noteRow' },
        'row.later': { target: 'waiting', actions: 'noteDelay' },
        'lane.empty': [{ guard: 'isWanted', target: 'claiming', reenter: true }, { target: 'ended' }],
      },
    },
    sending: {
      invoke: { id: 'send', src: 'send', input: ({ context }) => ({ lane: context.lane, rowId: context.rowId }) },
      initial: 'ongoing',
      states: {
        // What has been handed to the platform is waited for: cutting it off would leave nobody knowing.
        ongoing: { on: { 'row.settled': '#outboxLane.claiming', 'gateway.drain': 'last' } },
        last: { on: { 'row.settled': '#outboxLane.ended', 'gateway.drain': {} } },
      },
    },
    waiting: {
      on: { 'lane.wake': 'claiming' },
      after: { untilDue: 'claiming' },
    },
    ended: { type: 'final' },
  },
});
