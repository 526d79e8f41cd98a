/**
 * One turn of an agent: a place in its lane, then model steps and tools in turn, until there is a final text. Owns the
 * order of the steps; texts and messages stay in the run's work object and never enter an event. The deadlines belong
 * to the conversation, which ends a run without its help.
 *
 *   queued ──slot.granted──▶ preparing ──run.prepared──▶ calling ──step.text──▶ done
 *                                └──step.failed──▶ failed   ▲└─step.tools──▶ tooling ─┘
 */
import { assign, sendParent, setup } from 'xstate';
import { notProvided } from './not-provided.ts';

export interface RunEnd {
  state: 'done' | 'failed';
  error?: string;
}

export type AgentRunEvent =
  | { type: 'slot.granted' }
  | { type: 'run.prepared' }
  | { type: 'step.text' }
  | { type: 'step.tools' }
  | { type: 'step.failed'; error: string }
  | { type: 'step.progress' }
  | { type: 'tools.ended' };

type RunSlot = { runId: string };

export const agentRun = setup({
  types: {
    input: {} as { runId: string; lane: string; maxSteps: number },
    context: {} as { runId: string; lane: string; maxSteps: number; steps: number; error: string | undefined },
    events: {} as AgentRunEvent,
    output: {} as RunEnd,
  },
  actors: {
    laneSlot: notProvided<RunSlot & { lane: string }>('laneSlot'),
    prepare: notProvided<RunSlot>('prepare'),
    modelStep: notProvided<RunSlot>('modelStep'),
    tools: notProvided<RunSlot>('tools'),
  },
  guards: { hasSteps: ({ context }) => context.steps < context.maxSteps },
  actions: {
    reportGranted: sendParent(({ context }) => ({ type: 'run.granted', runId: context.runId })),
    reportProgress: sendParent(({ context }) => ({ type: 'run.progress', runId: context.runId })),
    countStep: assign({ steps: ({ context }) => context.steps + 1 }),
    noteError: assign({ error: ({ event }) => (event as { error: string }).error }),
    noteTooMany: assign({ error: ({ context }) => `more than ${context.maxSteps} model steps in one turn` }),
  },
}).createMachine({
  id: 'agentRun',
  context: ({ input }) => ({ ...input, steps: 0, error: undefined }),
  initial: 'live',
  states: {
    live: {
      // The slot is held as long as the run lives, and given back however it ends.
      invoke: { id: 'slot', src: 'laneSlot', input: ({ context }) => ({ runId: context.runId, lane: context.lane }) },
      initial: 'queued',
      on: {
        'step.failed': { target: 'failed', actions: 'noteError' },
        'step.progress': { actions: 'reportProgress' },
      },
      states: {
        queued: { on: { 'slot.granted': { target: 'preparing', actions: 'reportGranted' } } },
        preparing: {
          invoke: { id: 'prepare', src: 'prepare', input: ({ context }) => ({ runId: context.runId }) },
          on: { 'run.prepared': 'calling' },
        },
        calling: {
          entry: 'countStep',
          invoke: { id: 'model', src: 'modelStep', input: ({ context }) => ({ runId: context.runId }) },
          on: {
            'step.text': '#agentRun.done',
            'step.tools': [
              { guard: 'hasSteps', target: 'tooling' },
              { target: '#agentRun.failed', actions: 'noteTooMany' },
            ],
          },
        },
        tooling: {
          invoke: { id: 'tools', src: 'tools', input: ({ context }) => ({ runId: context.runId }) },
          on: { 'tools.ended': { target: 'calling', actions: 'reportProgress' } },
        },
      },
    },
    done: { type: 'final' },
    failed: { type: 'final' },
  },
  output: ({ context }) => (context.error === undefined ? { state: 'done' } : { state: 'failed', error: context.error }),
  options: { maxIterations: 1000 },
});
