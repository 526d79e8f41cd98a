/**
 * Decides whether and when the gateway restarts. Owns the permission of `SIGUSR1`, the delay, the merging of requests and
 * their rate; the root carries a restart out. A soft one rebuilds this process in place; a hard one ends it, for a service
 * manager to start newer code, and is the stronger wish of the two.
 *   idle ──restart.request | restart.signalled [allowed]──▶ scheduled ──delay [rate ok]──▶ executing (ends with this life)
 */
import { assign, enqueueActions, setup } from 'xstate';
import type { Env } from './child-spec.ts';

export type RestartKind = 'soft' | 'hard';

export interface ControlInput {
  env: Env;
  /** `commands.restart` of the applied config. */
  allowSignal: boolean;
  /** Moments of the last soft restarts; they outlive this actor, which is rebuilt by each of them. */
  recentRestarts: readonly number[];
  ports: { warn(message: string): void; restart(reason: string, kind: RestartKind): void };
}

export type ControlEvent =
  | { type: 'restart.request'; reason: string; delayMs: number; kind?: RestartKind }
  | { type: 'restart.signalled' }
  | { type: 'restart.withdraw' }
  | { type: 'gateway.drain' };

interface ControlContext extends ControlInput {
  dueAt: number;
  reasons: string[];
  kind: RestartKind;
  /** An internal request that was carried out lets one signal pass until then (lifecycle 7.2). */
  permitUntil: number;
}

const maxRestarts = 5;
const rateWindowMs = 60_000;
const permitGraceMs = 5_000;
export const maxDelayMs = 60_000;

/** Names the key, because the operator who sent the signal is looking at this line. */
export const signalRefused = 'SIGUSR1 ignored: set commands.restart to true to let it restart the gateway';

export const control = setup({
  types: { input: {} as ControlInput, context: {} as ControlContext, events: {} as ControlEvent },
  guards: {
    isAllowed: ({ context }) => context.allowSignal || context.env.now() < context.permitUntil,
    /** Everything is being rebuilt already, of the old code. */
    isStronger: ({ context, event }) => context.kind === 'soft' && kindOf(event) === 'hard',
    hasRate: ({ context }) => recentOf(context).length < maxRestarts,
  },
  delays: {
    untilDue: ({ context }) => Math.max(0, context.dueAt - context.env.now()),
    untilWindow: ({ context }) => Math.max(0, windowEnd(context) - context.env.now()),
  },
  actions: {
    refuse: ({ context }) => context.ports.warn(signalRefused),
    warnRate: ({ context }) => context.ports.warn(`more than ${maxRestarts} restarts in a minute: the next one waits`),
    schedule: assign(({ context, event }) => {
      const now = context.env.now();
      const request = event.type === 'restart.request' ? event : { reason: 'SIGUSR1', delayMs: 0 };
      const delay = Math.min(maxDelayMs, Math.max(0, request.delayMs));
      // Requests merge: the earlier moment counts, every reason is kept.
      const dueAt = context.reasons.length > 0 ? Math.min(context.dueAt, now + delay) : now + delay;
      const permitUntil = event.type === 'restart.request' ? Math.max(context.permitUntil, now + delay + permitGraceMs) : 0;
      return { dueAt, permitUntil, ...merged(context, request.reason, kindOf(event)) };
    }),
    join: assign(({ context, event }) => merged(context, (event as { reason: string }).reason, kindOf(event))),
    awaitWindow: assign({ dueAt: ({ context }) => windowEnd(context) }),
    forget: assign({ reasons: [], permitUntil: 0, kind: 'soft' }),
    execute: ({ context }) => context.ports.restart(context.reasons.join(', '), context.kind),
    reportUp: enqueueActions(({ self, enqueue }) => {
      if (self._parent) enqueue.sendTo(self._parent, { type: 'child.up', actorId: self.id });
    }),
  },
}).createMachine({
  id: 'control',
  context: ({ input }) => ({ ...input, dueAt: 0, reasons: [], kind: 'soft', permitUntil: 0 }),
  initial: 'idle',
  on: { 'gateway.drain': '.stopped' },
  states: {
    idle: {
      on: {
        'restart.request': { target: 'scheduled', actions: 'schedule' },
        'restart.signalled': [{ guard: 'isAllowed', target: 'scheduled', actions: 'schedule' }, { actions: 'refuse' }],
      },
    },
    scheduled: {
      on: {
        'restart.request': { target: 'scheduled', reenter: true, actions: 'schedule' },
        'restart.signalled': [{ guard: 'isAllowed', target: 'scheduled', reenter: true, actions: 'schedule' }, { actions: 'refuse' }],
        'restart.withdraw': { target: 'idle', actions: 'forget' },
      },
      after: {
        untilDue: [
          { guard: 'hasRate', target: 'executing' },
          { target: 'waiting', actions: 'warnRate' },
        ],
      },
    },
    /** Too many in a minute: the operator's own loop must not keep everybody else out. */
    waiting: {
      entry: 'awaitWindow',
      on: {
        'restart.request': { actions: 'join' },
        'restart.withdraw': { target: 'idle', actions: 'forget' },
      },
      after: { untilWindow: 'executing' },
    },
    executing: {
      entry: 'execute',
      on: { 'restart.request': { guard: 'isStronger', actions: ['join', 'execute'] } },
    },
    stopped: { type: 'final' },
  },
  options: { maxIterations: 1000 },
});

function recentOf({ recentRestarts, env }: ControlContext): number[] {
  const now = env.now();
  return recentRestarts.filter((at) => now - at < rateWindowMs);
}

const windowEnd = (context: ControlContext): number => (recentOf(context)[0] ?? 0) + rateWindowMs;

const kindOf = (event: ControlEvent): RestartKind => (event.type === 'restart.request' ? (event.kind ?? 'soft') : 'soft');

const merged = (context: ControlContext, reason: string, kind: RestartKind) => ({
  reasons: [...context.reasons, reason.trim().slice(0, 200)].slice(-20),
  kind: kind === 'hard' ? kind : context.kind,
});
