/**
 * One conversation while it has work: its runs one after the other. Owns both deadlines of the run in progress and ends it
 * without its cooperation (F-06): being busy *is* the existence of the run actor. Ends when nothing is left.
 *
 *   deciding ──has work──▶ running { queued ──run.granted──▶ active } ──done | failed | abort | deadline──▶ delivering ─┐
 *      │  ▲───────────────────────────────────────────────────────────────────────────────────────────────────────────┘
 *      ├──parked──▶ parked ──runs.unpark──▶ deciding
 *      └──nothing left──▶ ended
 */
import { assign, type DoneActorEvent, type ErrorActorEvent, setup } from 'xstate';
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
  | { type: 'delivery.ended' }
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
  /** Runs that were aborted while they waited. */
  aborted: Record<string, AbortReason>;
  ending: Ending;
}

/** Work that waited this long would surprise whoever asked (agent.md 4.3). */
const queueLimitMs = 30 * 60_000;

/** A store that does not answer may not hold a conversation: nobody waits longer for an end to be written down. */
const deliveryLimitMs = 15_000;

const head = (context: ConversationContext) => context.queue[0];

const abandonHead = {
  type: 'abandon' as const,
  params: ({ context }: { context: ConversationContext }) => ({ runId: head(context)?.runId ?? '' }),
};

export const conversation = setup({
  types: { input: {} as ConversationInput, context: {} as ConversationContext, events: {} as ConversationEvent },
  actors: {
    run: agentRun,
    /** Writes the end down, tells everybody, and hands the texts to the outbox. */
    delivery: notProvided<{ sessionKey: string; runId: string; ending: Ending }>('delivery'),
  },
  guards: {
    isParked: ({ context }) => context.parked,
    isEmpty: ({ context }) => context.queue.length === 0,
    headIsAborted: ({ context }) => context.aborted[head(context)?.runId ?? ''] !== undefined,
    abortsHead: ({ context, event }) => {
      const { runId } = event as { runId?: string };
      return runId === undefined || runId === head(context)?.runId;
    },
    isShutdown: ({ event }) => (event as { by?: AbortReason }).by === 'shutdown',
  },
  delays: {
    runDeadline: ({ context }) => head(context)?.timeoutMs ?? 0,
    stallLimit: ({ context }) => head(context)?.stallMs ?? 0,
    queueLimit: queueLimitMs,
    deliveryLimit: deliveryLimitMs,
  },
  actions: {
    /** Tells whoever waits for a run whose end could not be written down. */
    abandon: (_, _params: { runId: string }) => {},
    park: assign({ parked: true }),
    unpark: assign({ parked: false }),
    enqueue: assign({ queue: ({ context, event }) => [...context.queue, (event as { ticket: RunTicket }).ticket] }),
    dequeue: assign({ queue: ({ context }) => context.queue.slice(1), ending: { state: 'done' as const } }),
    /** A shutdown leaves what waits for the next start; everybody else's abort empties the queue too. */
    markAborted: assign({
      aborted: ({ context, event }) => {
        const { runId, by } = event as { runId?: string; by: AbortReason };
        if (by === 'shutdown') return context.aborted;
        const marked = context.queue.filter((ticket) => runId === undefined || ticket.runId === runId);
        return { ...context.aborted, ...Object.fromEntries(marked.map((ticket) => [ticket.runId, by])) };
      },
    }),
    endAborted: assign({
      parked: ({ context, event }) => context.parked || (event as { by: AbortReason }).by === 'shutdown',
      ending: ({ event }) => ({ state: 'aborted' as const, by: (event as { by: AbortReason }).by }),
    }),
    endHeadAborted: assign({
      ending: ({ context }) => ({ state: 'aborted' as const, by: context.aborted[head(context)?.runId ?? ''] ?? 'rpc' }),
      aborted: ({ context }) => {
        const { [head(context)?.runId ?? '']: _ended, ...rest } = context.aborted;
        return rest;
      },
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
    aborted: {},
    ending: { state: 'done' },
  }),
  initial: 'opening',
  on: {
    'run.submitted': { actions: 'enqueue' },
    'run.abort': [{ guard: 'isShutdown', actions: 'park' }, { actions: 'markAborted' }],
    'runs.park': { actions: 'park' },
    'runs.unpark': { actions: 'unpark' },
    'gateway.drain': '.ended',
  },
  states: {
    opening: { always: 'deciding' },
    deciding: {
      always: [
        { guard: 'isEmpty', target: 'ended' },
        { guard: 'headIsAborted', target: 'delivering', actions: 'endHeadAborted' },
        { guard: 'isParked', target: 'parked' },
        { target: 'running' },
      ],
    },
    parked: {
      on: {
        'runs.unpark': { target: 'deciding', actions: 'unpark' },
        'run.abort': [{ guard: 'isShutdown' }, { target: 'deciding', actions: 'markAborted' }],
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
        'run.abort': [{ guard: 'abortsHead', target: 'delivering', actions: ['markAborted', 'endAborted'] }, { actions: 'markAborted' }],
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
              { guard: 'abortsHead', target: '#conversation.delivering', actions: ['markAborted', 'endAborted'] },
              { actions: 'markAborted' },
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
        onError: { target: 'deciding', actions: [abandonHead, 'dequeue'] },
      },
      after: { deliveryLimit: { target: 'deciding', actions: [abandonHead, 'dequeue'] } },
      on: { 'delivery.ended': { target: 'deciding', actions: 'dequeue' } },
    },
    ended: { type: 'final' },
  },
  options: { maxIterations: 1000 },
});
