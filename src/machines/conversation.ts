/**
 * One conversation while it has work: its runs one after the other. Owns both deadlines of the run in progress and ends it
 * without its cooperation (F-06): being busy *is* the existence of the run actor. Ends when nothing is left.
 *
 *   deciding ──has work──▶ running { queued ──run.granted──▶ active } ──done | failed | abort | deadline──▶ delivering ─┐
 *      │  ▲───────────────────────────────────────────────────────────────────────────────────────────────────────────┘
 *      ├──parked──▶ parked ──runs.unpark──▶ deciding
 *      ├──only withdrawals left──▶ clearing ──delivery.ended──▶ deciding
 *      └──nothing left──▶ ended
 *
 * Whoever is aborted while it waits is withdrawn at once: its end is written down beside the run in progress.
 */
import { assign, type DoneActorEvent, enqueueActions, type ErrorActorEvent, setup } from 'xstate';
import { agentRun, type RunEnd } from './agent-run.ts';
import { notProvided } from './not-provided.ts';

export interface RunTicket {
  runId: string;
  lane: string;
  timeoutMs: number;
  stallMs: number;
  maxSteps: number;
  /** It was running when the process died: it has to wait no longer than others, and is told apart in the recorder. */
  resumed: boolean;
}

export type AbortReason = 'rpc' | 'stop' | 'shutdown';

/** How a run ended, before it is written down. */
export type Ending =
  | { state: 'done' }
  | { state: 'failed'; error: string }
  | { state: 'aborted'; by: AbortReason }
  | { state: 'timedOut'; what: 'deadline' | 'stall' | 'queue' };

export type ConversationEvent =
  | { type: 'run.submitted'; ticket: RunTicket }
  | { type: 'run.granted'; runId: string }
  | { type: 'run.progress'; runId: string }
  | { type: 'run.abort'; runId?: string; by: AbortReason }
  | { type: 'runs.park' }
  | { type: 'runs.unpark' }
  | { type: 'delivery.ended'; runId: string }
  | { type: 'delivery.late'; runId: string }
  | { type: 'gateway.drain' };

export interface ConversationInput {
  sessionKey: string;
  parked: boolean;
  first: RunTicket;
}

interface ConversationContext {
  sessionKey: string;
  /** A restart or stop is near: what has not begun begins after it. */
  parked: boolean;
  /** The head is the run in progress. */
  queue: RunTicket[];
  /** Runs that were aborted while they waited and whose end is being written down. */
  withdrawn: string[];
  ending: Ending;
}

/** Work that waited this long would surprise whoever asked (agent.md 4.3). */
const queueLimitMs = 30 * 60_000;
/** Longer than anybody is patient with the store: by then nobody is going to write this end down. */
const deliveryLimitMs = 75_000;

const head = (context: ConversationContext) => context.queue[0];
const withdrawalOf = (runId: string) => `withdrawal:${runId}`;

export const conversation = setup({
  types: { input: {} as ConversationInput, context: {} as ConversationContext, events: {} as ConversationEvent },
  actors: {
    run: agentRun,
    /** Writes the end down, tells everybody, and hands the texts to the outbox. */
    delivery: notProvided<{ sessionKey: string; runId: string; ending: Ending }>('delivery'),
    /** Says when the conversation is gone, whatever ended it. */
    registration: notProvided<{ sessionKey: string }>('registration'),
  },
  guards: {
    isParked: ({ context }) => context.parked,
    hasQueue: ({ context }) => context.queue.length > 0,
    hasWithdrawn: ({ context }) => context.withdrawn.length > 0,
    abortsHead: ({ context, event }) => {
      const { runId } = event as { runId?: string };
      return runId === undefined || runId === head(context)?.runId;
    },
    isOfHead: ({ context, event }) => (event as { runId: string }).runId === head(context)?.runId,
    isShutdown: ({ event }) => (event as { by?: AbortReason }).by === 'shutdown',
  },
  delays: {
    runDeadline: ({ context }) => head(context)?.timeoutMs ?? 0,
    stallLimit: ({ context }) => head(context)?.stallMs ?? 0,
    queueLimit: queueLimitMs,
    deliveryLimit: deliveryLimitMs,
  },
  actions: {
    park: assign({ parked: true }),
    unpark: assign({ parked: false }),
    enqueue: assign({ queue: ({ context, event }) => [...context.queue, (event as { ticket: RunTicket }).ticket] }),
    dequeue: assign({ queue: ({ context }) => context.queue.slice(1), ending: { state: 'done' as const } }),
    /** Ends what waits, from the given place on. A shutdown leaves it for the next start. */
    withdraw: enqueueActions(({ context, event, enqueue }, { from }: { from: number }) => {
      const { runId, by } = event as { runId?: string; by: AbortReason };
      if (by === 'shutdown') return;
      const chosen = context.queue.filter((ticket, index) => index >= from && (runId === undefined || ticket.runId === runId));
      if (chosen.length === 0) return;
      enqueue.assign({
        queue: context.queue.filter((ticket) => !chosen.includes(ticket)),
        withdrawn: [...context.withdrawn, ...chosen.map((ticket) => ticket.runId)],
      });
      for (const ticket of chosen) {
        const input = { sessionKey: context.sessionKey, runId: ticket.runId, ending: { state: 'aborted' as const, by } };
        enqueue.spawnChild('delivery', { id: withdrawalOf(ticket.runId), input });
        enqueue.raise({ type: 'delivery.late', runId: ticket.runId }, { delay: 'deliveryLimit', id: `late:${ticket.runId}` });
      }
    }),
    forgetWithdrawn: enqueueActions(({ context, event, enqueue }) => {
      const { runId: given, actorId = '' } = event as { runId?: string; actorId?: string };
      const runId = given ?? context.withdrawn.find((one) => withdrawalOf(one) === actorId);
      if (runId === undefined || !context.withdrawn.includes(runId)) return;
      enqueue.cancel(`late:${runId}`);
      enqueue.stopChild(withdrawalOf(runId));
      enqueue.assign({ withdrawn: context.withdrawn.filter((one) => one !== runId) });
    }),
    endAborted: assign({
      parked: ({ context, event }) => context.parked || (event as { by: AbortReason }).by === 'shutdown',
      ending: ({ event }) => ({ state: 'aborted' as const, by: (event as { by: AbortReason }).by }),
    }),
    endByRun: assign({
      ending: ({ event }) => {
        const { state, error } = (event as unknown as DoneActorEvent<RunEnd>).output;
        return state === 'done' ? { state } : { state, error: error ?? 'failed' };
      },
    }),
    endByCrash: assign({
      ending: ({ event }) => {
        const { error } = event as unknown as ErrorActorEvent;
        return { state: 'failed' as const, error: error instanceof Error ? error.message : 'the run crashed' };
      },
    }),
    endLate: assign({ ending: { state: 'timedOut' as const, what: 'deadline' as const } }),
    endStalled: assign({ ending: { state: 'timedOut' as const, what: 'stall' as const } }),
    endUnserved: assign({ ending: { state: 'timedOut' as const, what: 'queue' as const } }),
  },
}).createMachine({
  id: 'conversation',
  context: ({ input }) => ({
    sessionKey: input.sessionKey,
    parked: input.parked,
    queue: [input.first],
    withdrawn: [],
    ending: { state: 'done' },
  }),
  initial: 'opening',
  invoke: { id: 'registration', src: 'registration', input: ({ context }) => ({ sessionKey: context.sessionKey }) },
  on: {
    'run.submitted': { actions: 'enqueue' },
    'run.abort': [{ guard: 'isShutdown', actions: 'park' }, { actions: { type: 'withdraw', params: { from: 1 } } }],
    'runs.park': { actions: 'park' },
    'runs.unpark': { actions: 'unpark' },
    'delivery.ended': { actions: 'forgetWithdrawn' },
    'delivery.late': { actions: 'forgetWithdrawn' },
    // A withdrawal that broke: whoever waits for the run was told by the actor that broke.
    'xstate.error.actor.*': { actions: 'forgetWithdrawn' },
    'gateway.drain': '.ended',
  },
  states: {
    opening: { always: 'deciding' },
    deciding: {
      always: [
        { guard: ({ context }) => context.queue.length > 0 && context.parked, target: 'parked' },
        { guard: 'hasQueue', target: 'running' },
        { guard: 'hasWithdrawn', target: 'clearing' },
        { target: 'ended' },
      ],
    },
    clearing: {
      on: {
        'run.submitted': { target: 'deciding', actions: 'enqueue' },
        'delivery.ended': { target: 'deciding', actions: 'forgetWithdrawn' },
        'delivery.late': { target: 'deciding', actions: 'forgetWithdrawn' },
        'xstate.error.actor.*': { target: 'deciding', actions: 'forgetWithdrawn' },
      },
    },
    parked: {
      on: {
        'runs.unpark': { target: 'deciding', actions: 'unpark' },
        'run.abort': [{ guard: 'isShutdown' }, { target: 'deciding', actions: { type: 'withdraw', params: { from: 0 } } }],
      },
    },
    running: {
      invoke: {
        id: 'run',
        src: 'run',
        input: ({ context }) => {
          const { runId = '', lane = 'main', maxSteps = 1 } = head(context) ?? {};
          return { runId, lane, maxSteps };
        },
        onDone: { target: 'delivering', actions: 'endByRun' },
        onError: { target: 'delivering', actions: 'endByCrash' },
      },
      on: {
        'run.abort': [
          { guard: 'abortsHead', target: 'delivering', actions: [{ type: 'withdraw', params: { from: 1 } }, 'endAborted'] },
          { actions: { type: 'withdraw', params: { from: 1 } } },
        ],
      },
      initial: 'queued',
      states: {
        queued: {
          on: {
            'run.granted': 'active',
            // Not begun: it keeps its place on disk and begins after the restart.
            'runs.park': { target: '#conversation.parked', actions: 'park' },
            'run.abort': [
              { guard: 'isShutdown', target: '#conversation.parked', actions: 'park' },
              { guard: 'abortsHead', target: '#conversation.deciding', actions: { type: 'withdraw', params: { from: 0 } } },
              { actions: { type: 'withdraw', params: { from: 1 } } },
            ],
          },
          after: { queueLimit: { target: '#conversation.delivering', actions: 'endUnserved' } },
        },
        active: {
          after: { runDeadline: { target: '#conversation.delivering', actions: 'endLate' } },
          initial: 'watching',
          states: {
            watching: {
              after: { stallLimit: { target: '#conversation.delivering', actions: 'endStalled' } },
              on: { 'run.progress': { target: 'watching', reenter: true } },
            },
          },
        },
      },
    },
    delivering: {
      invoke: {
        id: 'delivery',
        src: 'delivery',
        input: ({ context }) => ({ sessionKey: context.sessionKey, runId: head(context)?.runId ?? '', ending: context.ending }),
        onError: { target: 'deciding', actions: 'dequeue' },
      },
      // An end that nobody can write down is an end all the same: whoever is next does not wait for a disk for ever.
      after: { deliveryLimit: { target: 'deciding', actions: 'dequeue' } },
      on: { 'delivery.ended': [{ guard: 'isOfHead', target: 'deciding', actions: 'dequeue' }, { actions: 'forgetWithdrawn' }] },
    },
    ended: { type: 'final' },
  },
  options: { maxIterations: 1000 },
});
