/**
 * Keeps children alive by the rules of OTP. Owns who runs, in which epoch, and when to give up; knows nothing of what the
 * children do. Spawn ids are `<id>@<epoch>`, so an event of an earlier life is recognised and dropped.
 *
 *   starting ──all up──▶ running ──exit, one_for_one──▶ (the child waits in its back-off, the others run on)
 *      │                    ├─exit, one_for_all | rest_for_one──▶ stopping ──▶ pausing ──▶ starting (the affected)
 *      │                    ├─gateway.drain─────────────────────▶ stopping ──▶ stopped
 *      │                    └─intensity exceeded────────────────▶ stopping ──▶ failed (throws, with no child left)
 *   stopping: for each of the queue  draining ──ended | shutdownMs──▶ next
 */
import { type AnyActorRef, assign, type DoneActorEvent, enqueueActions, type ErrorActorEvent, setup } from 'xstate';
import { type Backoff, type ChildSpec, defaultBackoff, type Env, restartDelay, type SupervisorSpec } from './child-spec.ts';
import { reap } from './reap.ts';

export type ChildPhase = 'starting' | 'up' | 'waiting' | 'resting' | 'leaving' | 'down' | 'ended';

export interface ChildRecord {
  spec: ChildSpec;
  epoch: number;
  phase: ChildPhase;
  /** Restarts over the whole life of the supervisor. */
  restarts: number;
  /** Restarts in a row, for the back-off. */
  attempt: number;
  startedAt: number;
  lastError?: string;
}

export type SupervisorEvent =
  | { type: 'child.up'; actorId: string }
  | { type: 'child.stopped'; actorId: string }
  | { type: 'child.add'; spec: ChildSpec }
  | { type: 'child.remove'; id: string }
  | { type: 'child.restartDue'; id: string; epoch: number }
  | { type: 'child.startExpired'; id: string; epoch: number }
  | { type: 'child.leaveExpired'; id: string; epoch: number }
  | { type: 'group.fall'; id: string }
  | { type: 'group.exhausted' }
  | { type: 'queue.moved' }
  | { type: 'gateway.drain'; reason?: string };

interface SupervisorContext {
  spec: SupervisorSpec;
  backoff: Backoff;
  env: Env;
  children: Record<string, ChildRecord>;
  /** Ids in start order. */
  order: string[];
  /** Moments of the restarts inside the sliding window. */
  recent: number[];
  /** What is left to stop (head first) or to start. */
  queue: string[];
  after: 'start' | 'end' | 'fail';
  /** What is started again once the queue is stopped. */
  affected: string[];
  pauseMs: number;
  drainReason: string;
  lastError: unknown;
}

type Exit = DoneActorEvent | ErrorActorEvent;

/** A supervisor that gave up, with what its last child died of as `cause`. */
export class SupervisorFailure extends Error {
  override readonly name = 'SupervisorFailure';
}

export const spawnId = (id: string, epoch: number) => `${id}@${epoch}`;

/** `client:abc@3` → `['client:abc', 3]` */
export function splitSpawnId(actorId: string): [id: string, epoch: number] {
  const at = actorId.lastIndexOf('@');
  return at < 0 ? [actorId, 0] : [actorId.slice(0, at), Number(actorId.slice(at + 1))];
}

const isAlive = (child: ChildRecord | undefined) =>
  child !== undefined && (child.phase === 'starting' || child.phase === 'up' || child.phase === 'leaving');

/** Message of an error for status lines; never a stack. */
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error)).slice(0, 240);

const newRecord = (spec: ChildSpec): ChildRecord => ({
  spec,
  epoch: 0,
  phase: 'down',
  restarts: 0,
  attempt: 0,
  startedAt: 0,
});

export const supervisor = setup({
  types: {
    input: {} as { spec: SupervisorSpec; env: Env },
    context: {} as SupervisorContext,
    events: {} as SupervisorEvent | Exit,
    tags: {} as 'up',
  },
  guards: {
    leavesTogether: ({ context }) => context.spec.drain === 'together' && context.queue.length > 0,
    hasQueue: ({ context }) => context.queue.length > 0,
    isSettled: ({ context }) => context.queue.length === 0,
    hasAllAnswered: ({ context }) => context.queue.every((id) => context.children[id]?.spec.shutdownMs === 0),
    isAwaited: ({ event }) => (event as { spec: ChildSpec }).spec.startMs !== undefined,
    regroups: ({ context }) => context.after === 'start',
    endsAll: ({ context }) => context.after === 'end',
    failsAll: ({ context }) => context.after === 'fail',
    isHead: ({ context, event }) => {
      const [id, epoch] = splitSpawnId((event as { actorId: string }).actorId);
      return context.queue[0] === id && context.children[id]?.epoch === epoch;
    },
  },
  delays: {
    groupLimit: ({ context }) => Math.max(0, ...context.queue.map((id) => context.children[id]?.spec.shutdownMs ?? 0)),
    drainLimit: ({ context }) => context.children[context.queue[0] ?? '']?.spec.shutdownMs ?? 0,
    restartPause: ({ context }) => context.pauseMs,
  },
  actions: {
    /** Starts the head of the queue and, while nobody has to be waited for, those behind it. */
    startQueued: enqueueActions(({ context, enqueue }) => {
      const children = { ...context.children };
      const queue = [...context.queue];
      const now = context.env.now();
      while (queue.length > 0) {
        const record = children[queue[0] as string];
        if (record?.phase === 'starting') break;
        // A child in its back-off comes back by itself and holds up nobody.
        if (record === undefined || isAlive(record) || record.phase === 'waiting' || record.phase === 'resting') {
          queue.shift();
          continue;
        }
        const { spec } = record;
        const epoch = record.epoch + 1;
        const awaited = spec.startMs !== undefined;
        children[spec.id] = { ...record, epoch, phase: awaited ? 'starting' : 'up', startedAt: now };
        enqueue.spawnChild(spec.logic, spawnOptions(spec, epoch));
        if (awaited) {
          enqueue.raise({ type: 'child.startExpired', id: spec.id, epoch }, { delay: spec.startMs as number, id: `start:${spec.id}` });
          break;
        }
        queue.shift();
      }
      enqueue.assign({ children, queue });
    }),
    noteUp: enqueueActions(({ context, event, enqueue }) => {
      const [id, epoch] = splitSpawnId((event as { actorId: string }).actorId);
      const child = context.children[id];
      if (child?.epoch !== epoch || child.phase !== 'starting') return;
      enqueue.cancel(`start:${id}`);
      enqueue.assign({
        children: { ...context.children, [id]: { ...child, phase: 'up' } },
        queue: context.queue.filter((queued) => queued !== id),
      });
      enqueue.raise({ type: 'queue.moved' });
    }),
    /** A child ended. Cleans up after it and decides what its end means. */
    handleExit: enqueueActions(({ context, event, self, enqueue }) => {
      const exit = event as Exit;
      const [id, epoch] = splitSpawnId(exit.actorId);
      reap((self.getSnapshot() as { children: Record<string, AnyActorRef> }).children[exit.actorId]);
      enqueue.stopChild(exit.actorId);
      const child = context.children[id];
      if (child === undefined || child.epoch !== epoch || !isAlive(child)) return;

      // A cancelled timer that was never set costs as much as one that was, and most children have none.
      if (child.phase === 'starting') enqueue.cancel(`start:${id}`);
      if (child.phase === 'leaving') enqueue.cancel(`leave:${id}`);
      const error = exit.type.startsWith('xstate.error') ? (exit as ErrorActorEvent).error : undefined;
      const abnormal = exit.type.startsWith('xstate.error');
      const { spec } = child;
      const wanted = child.phase !== 'leaving' && (spec.restart === 'permanent' || (spec.restart === 'transient' && abnormal));
      const ended = { ...child, ...(abnormal ? { lastError: messageOf(error) } : {}) };
      if (!wanted) {
        const children = { ...context.children };
        let { order } = context;
        // A child that is never started again leaves no trace, or a busy shard would grow for ever.
        // One that was added later and has done its work is added again when there is more.
        const isDone = spec.restart === 'transient' && !context.spec.children.some((known) => known.id === id);
        if (spec.restart === 'temporary' || child.phase === 'leaving' || isDone) {
          delete children[id];
          order = order.filter((other) => other !== id);
        } else children[id] = { ...ended, phase: 'ended' };
        enqueue.assign({ children, order });
        return;
      }

      const now = context.env.now();
      const { intensity, strategy } = context.spec;
      const recent = [...context.recent.filter((at) => now - at < intensity.withinMs), now];
      const attempt = now - child.startedAt >= context.backoff.resetAfterMs ? 0 : child.attempt;
      const delay = restartDelay(attempt, context.backoff, context.env.random);
      const waiting: ChildRecord = { ...ended, phase: 'waiting', attempt: attempt + 1, restarts: child.restarts + 1 };
      if (recent.length > intensity.max) {
        const { exhausted = 'escalate' } = context.spec;
        if (exhausted === 'escalate') {
          enqueue.assign({ children: { ...context.children, [id]: { ...ended, phase: 'down' } }, recent, lastError: () => error });
          enqueue.raise({ type: 'group.exhausted' });
          return;
        }
        enqueue.assign({ children: { ...context.children, [id]: { ...waiting, phase: 'resting' } }, recent: [] });
        enqueue.raise({ type: 'child.restartDue', id, epoch }, { delay: exhausted.coolDownMs, id: `restart:${id}` });
        return;
      }
      enqueue.assign({ children: { ...context.children, [id]: waiting }, recent, lastError: () => error });
      if (strategy === 'one_for_one') {
        enqueue.raise({ type: 'child.restartDue', id, epoch }, { delay, id: `restart:${id}` });
        return;
      }
      enqueue.assign({ pauseMs: delay });
      enqueue.raise({ type: 'group.fall', id });
    }),
    queueRestart: enqueueActions(({ context, event, enqueue }) => {
      const { id, epoch } = event as { id: string; epoch: number };
      const child = context.children[id];
      if (child === undefined || child.epoch !== epoch || isAlive(child)) return;
      enqueue.assign({
        queue: [...context.queue, id],
        children: { ...context.children, [id]: { ...child, phase: 'down' } },
      });
    }),
    /** The group that falls with a child: all of them, or those started after it. */
    queueGroup: assign(({ context, event }) => {
      const { id } = event as { id: string };
      return fallOf(context, id);
    }),
    /** Somebody ended while the group is being stopped. */
    noteEnded: enqueueActions(({ context, event, self, enqueue }) => {
      const { actorId } = event as Exit;
      const [id, epoch] = splitSpawnId(actorId);
      reap((self.getSnapshot() as { children: Record<string, AnyActorRef> }).children[actorId]);
      enqueue.stopChild(actorId);
      const child = context.children[id];
      if (child?.epoch !== epoch) return;
      const children = { ...context.children, [id]: { ...child, phase: 'down' as const } };
      const falls = context.after === 'start' && !context.affected.includes(id);
      enqueue.assign({ children, queue: context.queue.filter((other) => other !== id) });
      if (falls) enqueue.assign(fallOf({ ...context, children }, id));
      if (falls || context.queue[0] === id) enqueue.raise({ type: 'queue.moved' });
    }),
    addLater: assign(({ context, event }) => {
      const { spec } = event as { spec: ChildSpec };
      if (context.after !== 'start' || context.children[spec.id] !== undefined) return {};
      return {
        children: { ...context.children, [spec.id]: newRecord(spec) },
        order: [...context.order, spec.id],
        affected: [...context.affected, spec.id],
      };
    }),
    queueAll: assign(({ context, event }) => ({
      queue: context.order.filter((id) => isAlive(context.children[id])).reverse(),
      after: event.type === 'group.exhausted' ? ('fail' as const) : ('end' as const),
      affected: [],
      drainReason: (event as { reason?: string }).reason ?? 'stop',
    })),
    /** Nobody may come back while the group is being stopped. */
    cancelTimers: enqueueActions(({ context, enqueue }) => {
      for (const id of context.order) {
        enqueue.cancel(`restart:${id}`);
        enqueue.cancel(`start:${id}`);
        enqueue.cancel(`leave:${id}`);
      }
    }),
    askHead: enqueueActions(({ context, enqueue }) => {
      const head = context.children[context.queue[0] ?? ''];
      if (head === undefined || head.spec.shutdownMs === 0) return;
      enqueue.sendTo(spawnId(head.spec.id, head.epoch), { type: 'gateway.drain', reason: context.drainReason });
    }),
    askAll: enqueueActions(({ context, enqueue }) => {
      for (const id of context.queue) {
        const child = context.children[id];
        if (child === undefined || child.spec.shutdownMs === 0) continue;
        enqueue.sendTo(spawnId(id, child.epoch), { type: 'gateway.drain', reason: context.drainReason });
      }
    }),
    dropAll: enqueueActions(({ context, self, enqueue }) => {
      const children = { ...context.children };
      for (const id of context.queue) {
        const child = children[id];
        if (child === undefined) continue;
        const actorId = spawnId(id, child.epoch);
        reapIfFailed((self.getSnapshot() as { children: Record<string, AnyActorRef> }).children[actorId]);
        enqueue.stopChild(actorId);
        children[id] = { ...child, phase: 'down' };
      }
      enqueue.assign({ queue: [], children });
    }),
    /** One of a group that leaves together said that it is done. */
    dropStopped: enqueueActions(({ context, event, enqueue }) => {
      const { actorId } = event as { actorId: string };
      const [id, epoch] = splitSpawnId(actorId);
      const child = context.children[id];
      if (child?.epoch !== epoch) return;
      enqueue.stopChild(actorId);
      enqueue.assign({
        queue: context.queue.filter((other) => other !== id),
        children: { ...context.children, [id]: { ...child, phase: 'down' } },
      });
    }),
    /** Ends the head whether or not it was polite, orphans included. */
    dropHead: enqueueActions(({ context, self, enqueue }) => {
      const [id, ...queue] = context.queue;
      const head = context.children[id ?? ''];
      if (head === undefined) return enqueue.assign({ queue });
      const actorId = spawnId(head.spec.id, head.epoch);
      reapIfFailed((self.getSnapshot() as { children: Record<string, AnyActorRef> }).children[actorId]);
      enqueue.stopChild(actorId);
      enqueue.assign({ queue, children: { ...context.children, [head.spec.id]: { ...head, phase: 'down' } } });
    }),
    queueAffected: assign(({ context }) => {
      const children = { ...context.children };
      // Their pause is over: whoever waited for a back-off of his own starts with the group.
      for (const id of context.affected) {
        const child = children[id];
        if (child !== undefined && !isAlive(child)) children[id] = { ...child, phase: 'down' };
      }
      return { children, queue: context.affected, affected: [] };
    }),
    /** A child that nobody has to wait for joins a steady group in one step: clients come by the thousand. */
    startNow: enqueueActions(({ context, event, enqueue }) => {
      const { spec } = event as { spec: ChildSpec };
      const known = context.children[spec.id];
      if (known !== undefined && known.phase !== 'ended') return;
      const record = known ?? newRecord(spec);
      const epoch = record.epoch + 1;
      enqueue.spawnChild(spec.logic, spawnOptions(spec, epoch));
      enqueue.assign({
        children: { ...context.children, [spec.id]: { ...record, spec, epoch, phase: 'up', startedAt: context.env.now() } },
        order: known === undefined ? [...context.order, spec.id] : context.order,
      });
    }),
    addChild: assign(({ context, event }) => {
      const { spec } = event as { spec: ChildSpec };
      const known = context.children[spec.id];
      if (known !== undefined && known.phase !== 'ended') return {};
      return {
        children: { ...context.children, [spec.id]: known === undefined ? newRecord(spec) : { ...known, spec, phase: 'down' as const } },
        order: known === undefined ? [...context.order, spec.id] : context.order,
        queue: [...context.queue, spec.id],
      };
    }),
    askToLeave: enqueueActions(({ context, event, enqueue }) => {
      const { id } = event as { id: string };
      const child = context.children[id];
      if (child === undefined) return;
      enqueue.cancel(`restart:${id}`);
      if (!isAlive(child)) {
        const { [id]: _gone, ...children } = context.children;
        return enqueue.assign({ children, order: context.order.filter((other) => other !== id) });
      }
      enqueue.assign({ children: { ...context.children, [id]: { ...child, phase: 'leaving' } } });
      enqueue.sendTo(spawnId(id, child.epoch), { type: 'gateway.drain', reason: 'removed' });
      enqueue.raise({ type: 'child.leaveExpired', id, epoch: child.epoch }, { delay: child.spec.shutdownMs, id: `leave:${id}` });
    }),
    /** The child said that it has stopped, or its time to leave is up. */
    dropLeaving: enqueueActions(({ context, event, enqueue }) => {
      const [id, epoch] =
        'actorId' in event ? splitSpawnId(event.actorId) : [(event as { id: string }).id, (event as { epoch: number }).epoch];
      const child = context.children[id];
      if (child?.epoch !== epoch || child.phase !== 'leaving') return;
      enqueue.cancel(`leave:${id}`);
      enqueue.stopChild(spawnId(id, epoch));
      const { [id]: _gone, ...children } = context.children;
      enqueue.assign({ children, order: context.order.filter((other) => other !== id) });
    }),
    /** A child that does not report in time has crashed as far as anybody can tell. */
    failSlowStart: enqueueActions(({ context, event, self, enqueue }) => {
      const { id, epoch } = event as { id: string; epoch: number };
      const child = context.children[id];
      if (child?.epoch !== epoch || child.phase !== 'starting') return;
      const actorId = spawnId(id, epoch);
      reapIfFailed((self.getSnapshot() as { children: Record<string, AnyActorRef> }).children[actorId]);
      enqueue.stopChild(actorId);
      enqueue.raise({
        type: `xstate.error.actor.${actorId}`,
        actorId,
        error: new Error(`${id} did not report up within ${child.spec.startMs} ms`),
      });
    }),
    reportUp: ({ self }) => self._parent?.send({ type: 'child.up', actorId: self.id }),
    /** With its cause: the error itself follows only when everybody has left. */
    reportExhausted: ({ self, context }) =>
      self._parent?.send({ type: 'supervisor.exhausted', actorId: self.id, error: context.lastError }),
    giveUp: ({ context }) => {
      throw new SupervisorFailure(
        `${context.spec.name}: more than ${context.spec.intensity.max} restarts in ${context.spec.intensity.withinMs} ms`,
        {
          cause: context.lastError,
        },
      );
    },
  },
}).createMachine({
  id: 'supervisor',
  context: ({ input: { spec, env } }) => ({
    spec,
    env,
    backoff: { ...defaultBackoff, ...spec.backoff },
    children: Object.fromEntries(spec.children.map((child) => [child.id, newRecord(child)])),
    order: spec.children.map((child) => child.id),
    recent: [],
    queue: spec.children.map((child) => child.id),
    after: 'start',
    affected: [],
    pauseMs: 0,
    drainReason: 'stop',
    lastError: undefined,
  }),
  initial: 'active',
  states: {
    active: {
      initial: 'starting',
      on: {
        'xstate.done.actor.*': { actions: 'handleExit' },
        'xstate.error.actor.*': { actions: 'handleExit' },
        'child.up': { actions: 'noteUp' },
        'child.stopped': { actions: 'dropLeaving' },
        'child.leaveExpired': { actions: 'dropLeaving' },
        'child.startExpired': { actions: 'failSlowStart' },
        'child.remove': { actions: 'askToLeave' },
        'child.add': { actions: 'addChild', target: '.starting', reenter: true },
        'child.restartDue': { actions: 'queueRestart', target: '.starting', reenter: true },
        'queue.moved': { target: '.starting', reenter: true },
        'group.fall': { target: 'stopping', actions: 'queueGroup' },
        // The parent hears of it first: clients have to be told before the actor that tells them is stopped.
        'group.exhausted': { target: 'stopping', actions: ['reportExhausted', 'queueAll'] },
        'gateway.drain': { target: 'stopping', actions: 'queueAll' },
      },
      states: {
        starting: { entry: 'startQueued', always: { guard: 'isSettled', target: 'steady' } },
        steady: {
          tags: 'up',
          entry: 'reportUp',
          on: {
            'child.add': [{ guard: 'isAwaited', target: 'starting', actions: 'addChild' }, { actions: 'startNow' }],
          },
        },
      },
    },
    stopping: {
      entry: 'cancelTimers',
      initial: 'deciding',
      on: {
        'xstate.done.actor.*': { actions: 'noteEnded' },
        'xstate.error.actor.*': { actions: 'noteEnded' },
        'child.add': { actions: 'addLater' },
        // An end wins over a regrouping in progress.
        'gateway.drain': { guard: 'regroups', target: '.deciding', actions: 'queueAll' },
        'queue.moved': { target: '.deciding' },
      },
      states: {
        deciding: {
          always: [
            { guard: 'leavesTogether', target: 'drainingTogether' },
            { guard: 'hasQueue', target: 'draining' },
            { guard: 'endsAll', target: '#supervisor.stopped' },
            { guard: 'failsAll', target: '#supervisor.failed' },
            { target: '#supervisor.pausing' },
          ],
        },
        draining: {
          entry: 'askHead',
          after: { drainLimit: { target: 'deciding', actions: 'dropHead' } },
          on: { 'child.stopped': { guard: 'isHead', target: 'deciding', actions: 'dropHead' } },
        },
        drainingTogether: {
          entry: 'askAll',
          // Whoever is stopped without asking goes last: the others may still need it to leave politely.
          always: { guard: 'hasAllAnswered', target: 'deciding', actions: 'dropAll' },
          after: { groupLimit: { target: 'deciding', actions: 'dropAll' } },
          on: { 'child.stopped': { actions: 'dropStopped' }, 'queue.moved': {} },
        },
      },
    },
    pausing: {
      after: { restartPause: { target: 'active', actions: 'queueAffected' } },
      on: {
        'xstate.done.actor.*': { actions: 'handleExit' },
        'xstate.error.actor.*': { actions: 'handleExit' },
        'child.add': { actions: 'addLater' },
        'group.fall': { target: 'stopping', actions: 'queueGroup' },
        'group.exhausted': { target: 'stopping', actions: ['reportExhausted', 'queueAll'] },
        'gateway.drain': { target: 'stopping', actions: 'queueAll' },
      },
    },
    stopped: { type: 'final' },
    failed: { entry: 'giveUp' },
  },
  options: { maxIterations: 1000 },
});

/** Typed by name only: the children of this machine are known when it runs, not when it is written. */
const spawnOptions = (spec: ChildSpec, epoch: number): object => ({
  id: spawnId(spec.id, epoch),
  ...(spec.input === undefined ? {} : { input: spec.input }),
  ...(spec.systemId === undefined ? {} : { systemId: spec.systemId }),
});

/** The group that has to be stopped and started again because `id` ended. An earlier, larger fall is kept. */
function fallOf(context: SupervisorContext, id: string) {
  const from = context.spec.strategy === 'one_for_all' ? 0 : Math.max(0, context.order.indexOf(id));
  const own = context.order.slice(from);
  const affected = own.length > context.affected.length ? own : context.affected;
  return {
    affected,
    queue: affected.filter((other) => isAlive(context.children[other])).reverse(),
    after: 'start' as const,
    drainReason: 'regroup',
  };
}

/** A child stopped by XState takes its own children along; only a failed one leaves them. */
function reapIfFailed(actor: AnyActorRef | undefined): void {
  if ((actor?.getSnapshot() as { status?: string } | undefined)?.status === 'error') reap(actor);
}
