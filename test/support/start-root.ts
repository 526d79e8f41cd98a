/** The root machine on a virtual clock, with parts that do exactly what a test tells them. */
import { type AnyActorLogic, type AnyActorRef, createActor, fromCallback } from 'xstate';
import {
  type AbandonedEmitted,
  root,
  type RootEvent,
  type RootLimits,
  type RootOutput,
  type ShutdownEmitted,
} from '../../src/machines/root.ts';
import type { ChildSpec, SupervisorSpec } from '../../src/machines/child-spec.ts';
import { createVirtualClock } from './virtual-clock.ts';

export interface RootWorld {
  clock: ReturnType<typeof createVirtualClock>;
  root: AnyActorRef & { send(event: RootEvent): void };
  /** Phase as the outside sees it: `running.ready`, `stopping.closingEdge`. */
  state(): string;
  output(): RootOutput | undefined;
  /** What happened, in order: starts, ends, requests to leave, announcements. */
  story: string[];
  shutdowns: ShutdownEmitted[];
  /** Listeners open right now, and the most there ever were. */
  listeners: { open: number; most: number };
  /** The newest life of a part. */
  part(name: string): { die(): void } | undefined;
  context(): Record<string, unknown>;
}

export interface RootWish {
  /** Parts that never answer a request to leave. */
  deaf?: readonly string[];
  /** Parts that do not report up by themselves. */
  slow?: readonly string[];
  /** Runs that do not end by themselves. */
  runsHang?: boolean;
  /** Stop on the way up: nothing answers any more from this step on. */
  holdAt?: 'preflight' | 'lock' | 'listener' | 'reread';
  limits?: Partial<RootLimits>;
}

const limits: RootLimits = { drainMs: 30_000, shutdownMs: 5_000, openMs: 60_000, settleMs: 10_000 };

export function startRoot(wish: RootWish = {}): RootWorld {
  const clock = createVirtualClock(1_000_000);
  const env = { now: () => clock.now(), random: () => 0.5 };
  const story: string[] = [];
  const shutdowns: ShutdownEmitted[] = [];
  const listeners = { open: 0, most: 0 };
  const parts = new Map<string, { die(): void }>();

  const part = (name: string): AnyActorLogic =>
    fromCallback<{ type: string }>(({ sendBack, receive, self }) => {
      story.push(`+${name}`);
      parts.set(name, { die: () => self.send({ type: 'die' }) });
      if (wish.slow?.includes(name) !== true) sendBack({ type: 'child.up', actorId: self.id });
      receive((event) => {
        if (event.type === 'die') {
          story.push(`!${name}`);
          parts.delete(name);
          throw new Error(`${name} broke`);
        }
        if (event.type === 'runs.park' && wish.runsHang !== true) send({ type: 'runs.idle' });
        if (event.type === 'runs.end' && wish.runsHang !== true) send({ type: 'runs.ended' });
        if (event.type === 'restart.signalled') story.push(`signal to ${name}`);
        if (event.type !== 'gateway.drain') return;
        story.push(`?${name}`);
        if (wish.deaf?.includes(name) !== true) sendBack({ type: 'child.stopped', actorId: self.id });
      });
      return () => {
        story.push(`-${name}`);
        parts.delete(name);
      };
    }) as AnyActorLogic;

  const row = (id: string, more: Partial<ChildSpec> = {}): ChildSpec => ({
    id,
    logic: part(id),
    restart: 'permanent',
    shutdownMs: 500,
    startMs: 5_000,
    ...more,
  });
  const core = (): SupervisorSpec => ({
    name: 'core',
    strategy: 'rest_for_one',
    intensity: { max: 3, withinMs: 60_000 },
    children: [row('store'), row('conversations', { systemId: 'conversations' }), row('control', { systemId: 'control' })],
  });
  const edge = (): SupervisorSpec => ({
    name: 'edge',
    strategy: 'one_for_one',
    intensity: { max: 10, withinMs: 60_000 },
    exhausted: { coolDownMs: 300_000 },
    children: [row('channels', { shutdownMs: 2_500 })],
  });

  const answering = (event: string, step: NonNullable<RootWish['holdAt']>) =>
    fromCallback(({ sendBack }) => {
      if (wish.holdAt !== step) sendBack({ type: event });
    }) as AnyActorLogic;
  const listener = fromCallback<{ type: string }>(({ sendBack, receive, self }) => {
    listeners.open += 1;
    listeners.most = Math.max(listeners.most, listeners.open);
    parts.set('listener', { die: () => self.send({ type: 'die' }) });
    let isOpen = true;
    const close = () => {
      if (isOpen) listeners.open -= 1;
      isOpen = false;
    };
    receive((event) => {
      if (event.type !== 'die') return;
      parts.delete('listener');
      // As `fromIo` does: whatever ends the actor, its sockets are closed first.
      close();
      throw new Error('the listener broke');
    });
    if (wish.holdAt !== 'listener') sendBack({ type: 'listener.opened' });
    return close;
  }) as AnyActorLogic;

  const machine = root.provide({
    actors: {
      preflight: answering('preflight.passed', 'preflight'),
      lock: answering('lock.held', 'lock'),
      listener,
      reread: answering('config.read', 'reread'),
    },
  });
  const actor = createActor(machine, {
    clock,
    id: 'root',
    systemId: 'root',
    input: { env, limits: { ...limits, ...wish.limits }, tree: { core, edge } },
  });
  const send = (event: RootEvent) => actor.send(event);
  actor.on('shutdown', (event: ShutdownEmitted) => {
    shutdowns.push(event);
    story.push(`shutdown ${event.reason}`);
  });
  actor.on('part.abandoned', ({ part: name }: AbandonedEmitted) => story.push(`abandoned ${name}`));
  actor.subscribe({ error: () => {} });
  actor.start();
  return {
    clock,
    root: actor as unknown as RootWorld['root'],
    state: () => stateText(actor.getSnapshot().value),
    output: () => actor.getSnapshot().output,
    story,
    shutdowns,
    listeners,
    part: (name) => parts.get(name),
    context: () => actor.getSnapshot().context as unknown as Record<string, unknown>,
  };
}

function stateText(value: unknown): string {
  if (typeof value === 'string') return value;
  const [name, inner] = Object.entries(value as Record<string, unknown>)[0] ?? [''];
  return `${name}.${stateText(inner)}`;
}
