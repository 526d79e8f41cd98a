/**
 * The life of the process. Owns the phase, what signals mean in it, and the order in which everything starts and stops.
 * Does not own what runs below `core` and `edge`: the tree table says that, and the supervisors keep it alive.
 *
 *   preflight ▶ locking ▶ binding ▶ opening ▶ starting ▶ running ──restart──▶ draining ▶ restarting ─┐
 *       │           │         │        ▲─────────────────────────────────────────────────────────────┘
 *       └─ failed ──┴─────────┘    any ──stop──▶ stopping ▶ stopped            stopping ──escalation──▶ failed
 *
 * A hard restart, for code that has been replaced, drains as well and then stops: the service manager starts the successor.
 * Entering `restarting` or `stopping` emits `shutdown` before any child is asked to leave. Lock and listener outlive a
 * restart, so the process keeps its PID and nobody is refused. A listener that crashes is opened again in place.
 */
import { type AnyActorLogic, assign, cancel, emit, enqueueActions, type ErrorActorEvent, setup, stopChild } from 'xstate';
import type { FatalCode } from '../protocol/errors.ts';
import type { Env, SupervisorSpec } from './child-spec.ts';
import { notProvided } from './not-provided.ts';
import { supervisor } from './supervisor.ts';

export type SignalName = 'SIGTERM' | 'SIGINT' | 'SIGUSR1' | 'SIGHUP';

export interface Failure {
  code: FatalCode;
  exitCode: number;
  message: string;
  fix: string;
}

export type RootEvent =
  | { type: 'signal.received'; name: SignalName; at: number }
  | { type: 'preflight.passed' }
  | { type: 'lock.held' }
  | { type: 'listener.opened' }
  | { type: 'boot.failed'; failure: Failure }
  | { type: 'child.up'; actorId: string }
  | { type: 'child.stopped'; actorId: string }
  | { type: 'supervisor.exhausted'; actorId: string; error?: unknown }
  | { type: 'config.read' }
  | { type: 'signal.again' }
  | { type: 'edge.degraded' }
  | { type: 'edge.recovered' }
  | { type: 'restart.asked'; reason: string; kind?: 'soft' | 'hard' }
  | { type: 'restart.cancelled' }
  | { type: 'stop.asked'; reason: string }
  | { type: 'runs.idle' }
  | { type: 'runs.ended' }
  | { type: 'part.gone' }
  | { type: 'fault.unowned'; message: string };

/** Sent to every client before anything is closed. Strict: no other member. */
export type ShutdownEmitted = { type: 'shutdown'; reason: string; restartExpectedMs?: number };

/** A part did not leave in its time and is abandoned; the log names what is left of it. */
export type AbandonedEmitted = { type: 'part.abandoned'; part: 'runs' | 'edge' | 'core' };

export interface RootInput {
  env: Env;
  /** Builds the tables of a generation; called anew for each soft restart. */
  tree: { core(generation: number): SupervisorSpec; edge(generation: number): SupervisorSpec };
  limits: RootLimits;
}

export interface RootLimits {
  /** How long runs may go on before a requested restart. */
  drainMs: number;
  /** How long the whole stop may take. */
  shutdownMs: number;
  openMs: number;
  settleMs: number;
}

export interface RootOutput {
  exitCode: number;
  failure?: Failure;
}

interface RootContext {
  env: Env;
  tree: RootInput['tree'];
  limits: RootLimits;
  generation: number;
  /** `SIGUSR1` came before anybody could decide about it. */
  restartSignalled: boolean;
  /** A restart was decided before there was anything to restart. */
  restartDecided: boolean;
  /** The restart that was decided is one of the process. */
  isHard: boolean;
  /** Moments of the listener's crashes inside its window. */
  listenerCrashes: number[];
  /** Moments of unattributed faults inside the window of the root's own intensity. */
  faults: number[];
  failure: Failure | undefined;
  exitCode: number;
  reason: string;
}

/** Unattributed faults the root bears within a minute before it gives up (lifecycle 13.1). */
const maxFaults = 3;
/** Crashes of the listener within a minute before the root gives up (lifecycle 13.1). */
const maxListenerCrashes = 3;
const faultWindowMs = 60_000;
/** Pause before a signal is offered again to a controller that is just being started anew. */
const signalAgainMs = 300;
/** What a soft restart is announced with. */
export const restartExpectedMs = 1_500;
/** A hard one takes what the service manager waits in addition (lifecycle 6.1). */
const successorExpectedMs = restartExpectedMs + 5_000;
const updating = 'gateway updating';

const escalation = (message: string): Failure => ({
  code: 'intensity-exceeded',
  exitCode: 70,
  message,
  fix: 'read the last error lines with: openclaw logs',
});

/**
 * Runs, then channels, then clients and the store: no start order has this as its reverse, so it is spelled out.
 * `then` is where the sequence leads; each step has its own deadline. What is not done by then is stopped without asking,
 * and only then: a stop that takes over from a restart lets whoever is leaving go on leaving.
 */
const leave = (then: string) =>
  ({
    initial: 'endingRuns',
    states: {
      endingRuns: {
        entry: 'endRuns',
        on: { 'runs.ended': 'closingEdge' },
        after: { runsLimit: { target: 'closingEdge', actions: { type: 'reportAbandoned', params: 'runs' } } },
      },
      closingEdge: {
        entry: 'drainEdge',
        on: {
          'part.gone': 'closingCore',
          'xstate.done.actor.*': { guard: 'isEdge', target: 'closingCore', actions: 'stopEdge' },
          'xstate.error.actor.*': { guard: 'isEdge', target: 'closingCore', actions: 'stopEdge' },
        },
        after: { edgeLimit: { target: 'closingCore', actions: [{ type: 'reportAbandoned', params: 'edge' }, 'stopEdge'] } },
      },
      closingCore: {
        entry: 'drainCore',
        on: {
          'part.gone': then,
          'xstate.done.actor.*': { guard: 'isCore', target: then, actions: 'stopCore' },
          'xstate.error.actor.*': { guard: 'isCore', target: then, actions: 'stopCore' },
        },
        after: { coreLimit: { target: then, actions: [{ type: 'reportAbandoned', params: 'core' }, 'stopCore'] } },
      },
    },
  }) as const;

export const root = setup({
  types: {
    input: {} as RootInput,
    context: {} as RootContext,
    events: {} as RootEvent,
    emitted: {} as ShutdownEmitted | AbandonedEmitted,
    output: {} as RootOutput,
  },
  actors: {
    preflight: notProvided('preflight') as AnyActorLogic,
    lock: notProvided('lock') as AnyActorLogic,
    listener: notProvided('listener') as AnyActorLogic,
    /** Reads the configuration again between two generations. */
    reread: notProvided('reread') as AnyActorLogic,
    supervisor,
  },
  guards: {
    isSignal: ({ event }, names: readonly SignalName[]) => event.type === 'signal.received' && names.includes(event.name),
    isCore: ({ context, event }) => (event as { actorId?: string }).actorId === `core@${context.generation}`,
    isEdge: ({ context, event }) => (event as { actorId?: string }).actorId === `edge@${context.generation}`,
    isTree: ({ event }) => /^(core|edge)@/.test((event as { actorId?: string }).actorId ?? ''),
    isRestartWanted: ({ context }) => context.restartDecided,
    mayOpenAgain: ({ context }) => {
      const now = context.env.now();
      return context.listenerCrashes.filter((at) => now - at < faultWindowMs).length < maxListenerCrashes;
    },
    isHard: ({ context }) => context.isHard,
    hasFailed: ({ context }) => context.failure !== undefined,
    exceedsFaults: ({ context }) => {
      const now = context.env.now();
      return context.faults.filter((at) => now - at < faultWindowMs).length >= maxFaults;
    },
  },
  delays: {
    openLimit: ({ context }) => context.limits.openMs,
    settleLimit: ({ context }) => context.limits.settleMs,
    rereadLimit: 2_000,
    drainLimit: ({ context }) => context.limits.drainMs,
    // The shares of the budget of lifecycle 6, for any budget.
    runsLimit: ({ context }) => context.limits.shutdownMs * 0.2,
    edgeLimit: ({ context }) => context.limits.shutdownMs * 0.4,
    coreLimit: ({ context }) => context.limits.shutdownMs * 0.3,
  },
  actions: {
    noteFailure: assign({ failure: ({ event }) => (event as { failure: Failure }).failure }),
    noteOpenTimeout: assign({
      failure: {
        code: 'store-unavailable',
        exitCode: 74,
        message: 'the core did not come up in time',
        fix: 'check that the state directory is writable and not full, then start again',
      } satisfies Failure,
    }),
    noteCoreFailure: assign({
      failure: ({ event, context }) => context.failure ?? failureOf((event as unknown as Partial<ErrorActorEvent>).error),
    }),
    noteFaults: assign({ failure: escalation('too many errors that no actor owns') }),
    countFault: assign({
      faults: ({ context }) => [...context.faults.filter((at) => context.env.now() - at < faultWindowMs), context.env.now()],
    }),
    rememberRestart: assign({ restartSignalled: true }),
    /** The restart or stop that begins now is the answer to it. */
    mergeSignal: assign({ restartSignalled: false }),
    forgetSignalAgain: cancel('signal.again'),
    decideRestart: assign({ restartDecided: true }),
    noteKind: assign({ isHard: ({ context, event }) => context.isHard || (event as { kind?: string }).kind === 'hard' }),
    forgetKind: assign({ isHard: false }),
    noteUpdate: assign({ reason: updating }),
    forgetDecision: assign({ restartDecided: false }),
    passRemembered: enqueueActions(({ context, enqueue, system }) => {
      if (!context.restartSignalled) return;
      const control = system.get('control');
      // Just crashed and about to be back: a signal is never lost.
      if (control === undefined) return enqueue.raise({ type: 'signal.again' }, { delay: signalAgainMs, id: 'signal.again' });
      enqueue.assign({ restartSignalled: false });
      enqueue.sendTo(control, { type: 'restart.signalled' });
    }),
    openAgain: enqueueActions(({ context, enqueue }) => {
      const now = context.env.now();
      enqueue.assign({ listenerCrashes: [...context.listenerCrashes.filter((at) => now - at < faultWindowMs), now] });
      enqueue.stopChild('listener');
      enqueue.spawnChild('listener', { id: 'listener', systemId: 'listener' });
    }),
    reportAbandoned: emit((_, part: 'runs' | 'edge' | 'core') => ({ type: 'part.abandoned' as const, part })),
    noteStop: assign({ reason: 'gateway stopping', exitCode: 0 }),
    noteInterrupt: assign({ exitCode: 130 }),
    announceRestart: emit({ type: 'shutdown', reason: 'gateway restarting', restartExpectedMs }),
    announceStop: emit(({ context }): ShutdownEmitted => {
      if (context.failure) return { type: 'shutdown', reason: 'gateway failed' };
      if (context.reason === updating) return { type: 'shutdown', reason: updating, restartExpectedMs: successorExpectedMs };
      return { type: 'shutdown', reason: 'gateway stopping' };
    }),
    nextGeneration: assign({ generation: ({ context }) => context.generation + 1 }),
    spawnLock: enqueueActions(({ enqueue }) => enqueue.spawnChild('lock', { id: 'lock' })),
    spawnListener: enqueueActions(({ enqueue }) => enqueue.spawnChild('listener', { id: 'listener', systemId: 'listener' })),
    spawnCore: enqueueActions(({ context, enqueue }) =>
      enqueue.spawnChild('supervisor', {
        id: `core@${context.generation}`,
        input: { spec: context.tree.core(context.generation), env: context.env },
      }),
    ),
    spawnEdge: enqueueActions(({ context, enqueue }) =>
      enqueue.spawnChild('supervisor', {
        id: `edge@${context.generation}`,
        input: { spec: context.tree.edge(context.generation), env: context.env },
      }),
    ),
    parkRuns: enqueueActions(({ enqueue, system }) => {
      const conversations = system.get('conversations');
      if (conversations) enqueue.sendTo(conversations, { type: 'runs.park' });
      else enqueue.raise({ type: 'runs.idle' });
    }),
    unparkRuns: enqueueActions(({ enqueue, system }) => {
      const conversations = system.get('conversations');
      if (conversations) enqueue.sendTo(conversations, { type: 'runs.unpark' });
    }),
    endRuns: enqueueActions(({ enqueue, system }) => {
      const conversations = system.get('conversations');
      if (conversations) enqueue.sendTo(conversations, { type: 'runs.end' });
      else enqueue.raise({ type: 'runs.ended' });
    }),
    drainEdge: enqueueActions(({ context, enqueue, self }) => {
      const id = `edge@${context.generation}`;
      if (isGone(self.getSnapshot().children, id)) enqueue.raise({ type: 'part.gone' });
      else enqueue.sendTo(id, { type: 'gateway.drain', reason: context.reason });
    }),
    drainCore: enqueueActions(({ context, enqueue, self }) => {
      const id = `core@${context.generation}`;
      if (isGone(self.getSnapshot().children, id)) enqueue.raise({ type: 'part.gone' });
      else enqueue.sendTo(id, { type: 'gateway.drain', reason: context.reason });
    }),
    stopEdge: stopChild(({ context }) => `edge@${context.generation}`),
    stopCore: stopChild(({ context }) => `core@${context.generation}`),
    closeListener: enqueueActions(({ enqueue, system }) => {
      const listener = system.get('listener');
      if (listener) enqueue.sendTo(listener, { type: 'gateway.drain' });
    }),
  },
}).createMachine({
  id: 'root',
  context: ({ input }) => ({
    env: input.env,
    tree: input.tree,
    limits: input.limits,
    generation: 0,
    restartSignalled: false,
    restartDecided: false,
    isHard: false,
    listenerCrashes: [],
    faults: [],
    failure: undefined,
    exitCode: 0,
    reason: 'gateway stopping',
  }),
  initial: 'preflight',
  on: {
    'fault.unowned': [{ guard: 'exceedsFaults', target: '.stopping', actions: 'noteFaults' }, { actions: 'countFault' }],
    'xstate.error.actor.listener': [
      { guard: 'mayOpenAgain', actions: 'openAgain' },
      { target: '.stopping', actions: 'noteCoreFailure' },
    ],
    'xstate.error.actor.*': { target: '.stopping', actions: 'noteCoreFailure' },
    // The address was lost to somebody else while the listener was being opened again.
    'boot.failed': { target: '.stopping', actions: 'noteFailure' },
    'signal.again': { actions: 'passRemembered' },
  },
  states: {
    preflight: {
      invoke: { id: 'preflight', src: 'preflight' },
      on: {
        'preflight.passed': 'locking',
        'boot.failed': { target: 'failed', actions: 'noteFailure' },
        'signal.received': [
          { guard: { type: 'isSignal', params: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, target: 'stopped' },
          { guard: { type: 'isSignal', params: ['SIGUSR1'] }, actions: 'rememberRestart' },
        ],
        'stop.asked': 'stopped',
      },
    },
    locking: {
      entry: 'spawnLock',
      on: {
        'lock.held': 'binding',
        'boot.failed': { target: 'failed', actions: 'noteFailure' },
        'signal.received': [
          { guard: { type: 'isSignal', params: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, target: 'stopped' },
          { guard: { type: 'isSignal', params: ['SIGUSR1'] }, actions: 'rememberRestart' },
        ],
        'stop.asked': 'stopped',
      },
    },
    binding: {
      entry: 'spawnListener',
      on: {
        'listener.opened': 'opening',
        'boot.failed': { target: 'failed', actions: 'noteFailure' },
        'signal.received': [
          { guard: { type: 'isSignal', params: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, target: 'stopped' },
          { guard: { type: 'isSignal', params: ['SIGUSR1'] }, actions: 'rememberRestart' },
        ],
        'stop.asked': 'stopped',
      },
    },
    /** Everything from here to the end has a tree, and may be told to stop. */
    opening: {
      entry: ['nextGeneration', 'spawnCore'],
      on: {
        'child.up': { guard: 'isCore', target: 'starting' },
        'supervisor.exhausted': { guard: 'isCore', target: 'stopping', actions: 'noteCoreFailure' },
        'signal.received': [
          { guard: { type: 'isSignal', params: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, target: 'stopping' },
          { guard: { type: 'isSignal', params: ['SIGUSR1'] }, actions: 'rememberRestart' },
        ],
        'stop.asked': 'stopping',
      },
      after: { openLimit: { target: 'stopping', actions: 'noteOpenTimeout' } },
    },
    starting: {
      entry: 'spawnEdge',
      on: {
        'child.up': { guard: 'isEdge', target: 'running' },
        'supervisor.exhausted': { guard: 'isCore', target: 'stopping', actions: 'noteCoreFailure' },
        'signal.received': [
          { guard: { type: 'isSignal', params: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, target: 'stopping' },
          { guard: { type: 'isSignal', params: ['SIGUSR1'] }, actions: 'rememberRestart' },
        ],
        'restart.asked': { actions: ['decideRestart', 'noteKind'] },
        'stop.asked': 'stopping',
      },
      after: { settleLimit: 'running' },
    },
    running: {
      entry: 'passRemembered',
      always: { guard: 'isRestartWanted', target: 'draining' },
      initial: 'ready',
      states: {
        ready: { on: { 'edge.degraded': 'degraded' } },
        degraded: { on: { 'edge.recovered': 'ready' } },
      },
      on: {
        'restart.asked': { target: 'draining', actions: 'noteKind' },
        'supervisor.exhausted': { guard: 'isCore', target: 'stopping', actions: 'noteCoreFailure' },
        'signal.received': [
          { guard: { type: 'isSignal', params: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, target: 'stopping' },
          { guard: { type: 'isSignal', params: ['SIGUSR1'] }, actions: ['rememberRestart', 'passRemembered'] },
        ],
        'stop.asked': 'stopping',
      },
    },
    draining: {
      entry: ['forgetDecision', 'parkRuns'],
      on: {
        'runs.idle': [{ guard: 'isHard', target: 'stopping', actions: 'noteUpdate' }, { target: 'restarting' }],
        'restart.asked': { actions: 'noteKind' },
        'restart.cancelled': { target: 'running', actions: ['unparkRuns', 'forgetKind'] },
        'supervisor.exhausted': { guard: 'isCore', target: 'stopping', actions: 'noteCoreFailure' },
        'signal.received': { guard: { type: 'isSignal', params: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, target: 'stopping' },
        'stop.asked': 'stopping',
      },
      after: { drainLimit: [{ guard: 'isHard', target: 'stopping', actions: 'noteUpdate' }, { target: 'restarting' }] },
    },
    restarting: {
      entry: ['announceRestart', 'mergeSignal', 'forgetSignalAgain'],
      ...leave('#root.rereading'),
      on: {
        'xstate.error.actor.*': { guard: 'isTree' },
        'signal.received': { guard: { type: 'isSignal', params: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, target: 'stopping' },
        'stop.asked': 'stopping',
      },
    },
    rereading: {
      // Reading is never a reason to stay away: the last applied configuration is there.
      invoke: { id: 'reread', src: 'reread', onError: 'opening' },
      on: {
        'config.read': 'opening',
        'signal.received': { guard: { type: 'isSignal', params: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, target: 'stopped' },
        'stop.asked': 'stopped',
      },
      // A file system that hangs must not keep everybody waiting: the last applied configuration is good enough.
      after: { rereadLimit: 'opening' },
    },
    stopping: {
      entry: ['announceStop', 'closeListener', 'forgetSignalAgain'],
      ...leave('#root.ended'),
      on: {
        // Nothing that breaks now may start the end anew.
        'xstate.error.actor.*': {},
        'xstate.error.actor.listener': {},
        'fault.unowned': { actions: 'countFault' },
        'boot.failed': {},
        // A second Ctrl-C is a person who does not want to wait.
        'signal.received': { guard: { type: 'isSignal', params: ['SIGINT'] }, target: 'stopped', actions: 'noteInterrupt' },
      },
    },
    ended: { always: [{ guard: 'hasFailed', target: 'failed' }, { target: 'stopped' }] },
    stopped: { type: 'final' },
    failed: { type: 'final' },
  },
  output: ({ context }) =>
    context.failure === undefined ? { exitCode: context.exitCode } : { exitCode: context.failure.exitCode, failure: context.failure },
  options: { maxIterations: 1000 },
});

function isGone(children: object, id: string): boolean {
  const child = (children as Record<string, { getSnapshot(): { status: string } } | undefined>)[id];
  return child === undefined || child.getSnapshot().status !== 'active';
}

/** The reason a store gave for not opening is more use to an operator than "gave up". */
function failureOf(error: unknown): Failure {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code, exitCode, fix } = cause as Partial<Failure>;
    if (code !== undefined && exitCode !== undefined) return { code, exitCode, message: cause.message, fix: fix ?? '' };
  }
  return escalation(error instanceof Error ? error.message : 'a core actor crashed more often than allowed');
}
