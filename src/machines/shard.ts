/**
 * Holds children that come and go by the thousand and are never started again: a share of the clients. Not a chart, because
 * there is nothing to decide, and because a chart remembers each type of event it ever saw: the end of a child is an event
 * named after it, so a shard that was a chart would grow with every client it had.
 *   takes     child.add · shutdown.announced (handed on to all) · gateway.drain (handed on; ends when the last has gone) ·
 *             from a child: socket.closed (it has nothing left to do) · child.replaced (another goes on in its place)
 *   active ──gateway.drain──▶ draining ──no child left──▶ done
 */
import {
  type ActorLogic,
  type ActorScope,
  type AnyActorRef,
  createActor,
  type DoneActorEvent,
  type ErrorActorEvent,
  type Snapshot,
} from 'xstate';
import type { ChildSpec } from './child-spec.ts';
import { reap } from './reap.ts';

export interface MemberSpec extends Pick<ChildSpec, 'id' | 'logic' | 'input'> {
  /** Who goes on when this one breaks. */
  heir?: MemberSpec;
}

export type ShardEvent =
  | { type: 'child.add'; spec: MemberSpec }
  | { type: 'child.replaced'; actorId: string; spec: MemberSpec }
  | { type: 'socket.closed'; actorId: string }
  | { type: 'shutdown.announced' }
  | { type: 'gateway.drain'; reason?: string };

interface Member {
  actor: AnyActorRef;
  heir: MemberSpec | undefined;
}

type Ended = DoneActorEvent | ErrorActorEvent;

export type ShardSnapshot = Snapshot<undefined> & {
  readonly value: 'active' | 'draining';
  /** By spawn id, as a machine shows its own. */
  readonly children: Record<string, AnyActorRef>;
};

type Scope = ActorScope<ShardSnapshot, ShardEvent>;

class ShardState {
  status: 'active' | 'done' | 'stopped' = 'active';
  output = undefined;
  error = undefined;
  value: ShardSnapshot['value'] = 'active';
  readonly members: Map<string, Member>;

  constructor(members: Map<string, Member>) {
    this.members = members;
  }

  get children(): Record<string, AnyActorRef> {
    return Object.fromEntries([...this.members].map(([id, { actor }]) => [id, actor]));
  }
}

export const shard: ActorLogic<ShardSnapshot, ShardEvent> = {
  getInitialSnapshot: () => new ShardState(new Map()) as unknown as ShardSnapshot,
  getPersistedSnapshot: () => {
    throw new Error('a shard is never persisted');
  },
  transition(snapshot, event, scope) {
    const state = snapshot as unknown as ShardState;
    switch (event.type) {
      case 'child.add':
        add(state, event.spec, scope);
        return snapshot;
      case 'child.replaced':
        remove(state, event.actorId, scope);
        add(state, event.spec, scope);
        return afterwards(state);
      case 'socket.closed':
        remove(state, event.actorId, scope);
        return afterwards(state);
      case 'shutdown.announced':
        tellAll(state, event);
        return snapshot;
      case 'gateway.drain':
        tellAll(state, event);
        return moved(state, { value: 'draining' });
      default:
        return react(state, event as unknown as Ended | { type: 'xstate.stop' }, scope);
    }
  },
};

/** What XState itself says. */
function react(state: ShardState, event: Ended | { type: 'xstate.stop' }, scope: Scope): ShardSnapshot {
  if (event.type === 'xstate.stop') {
    for (const { actor } of state.members.values()) scope.stopChild(actor);
    state.members.clear();
    return moved(state, { status: 'stopped' });
  }
  const hasFailed = event.type.startsWith('xstate.error.actor.');
  if (!hasFailed && !event.type.startsWith('xstate.done.actor.')) return state as unknown as ShardSnapshot;
  const { actorId } = event as Ended;
  const heir = hasFailed ? state.members.get(actorId)?.heir : undefined;
  remove(state, actorId, scope);
  if (heir) add(state, heir, scope);
  return afterwards(state);
}

function add({ members, value }: ShardState, { id, logic, input, heir }: MemberSpec, scope: Scope): void {
  // Whoever comes to a shard that is leaving is too late, and is told so by whoever owns its socket.
  if (value === 'draining') return;
  const spawnId = `${id}@1`;
  const actor = createActor(logic, { id: spawnId, parent: scope.self as AnyActorRef, ...(input === undefined ? {} : { input }) });
  members.set(spawnId, { actor, heir });
  scope.defer(() => void actor.start());
}

function remove({ members }: ShardState, actorId: string, scope: Scope): void {
  const actor = members.get(actorId)?.actor;
  if (actor === undefined) return;
  members.delete(actorId);
  // What a failed actor had started runs on; nobody else would stop it.
  reap(actor);
  scope.stopChild(actor);
}

function tellAll({ members }: ShardState, event: ShardEvent): void {
  for (const { actor } of members.values()) actor.send(event);
}

/** A shard that is leaving is done when its last member has gone. */
const afterwards = (state: ShardState): ShardSnapshot =>
  state.value === 'draining' ? moved(state, {}) : (state as unknown as ShardSnapshot);

/** A new object, so that observers see the change; the members stay where they are. */
function moved(state: ShardState, change: Partial<Pick<ShardState, 'value' | 'status'>>): ShardSnapshot {
  const next = Object.assign(new ShardState(state.members), { value: state.value, status: state.status }, change);
  if (next.value === 'draining' && next.status === 'active' && next.members.size === 0) next.status = 'done';
  return next as unknown as ShardSnapshot;
}
