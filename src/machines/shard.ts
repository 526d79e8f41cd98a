/**
 * Holds children that come and go by the thousand and are never started again: a share of the clients. Not a chart, because
 * there is nothing to decide, and because a chart remembers each type of event it ever saw: the end of a child is an event
 * named after it, so a shard that was a chart would grow with every client it had.
 *   takes     child.add · shutdown.announced (handed on to all) · gateway.drain (handed on; ends when the last has gone)
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

export type ShardEvent =
  | { type: 'child.add'; spec: Pick<ChildSpec, 'id' | 'logic' | 'input'> }
  | { type: 'shutdown.announced' }
  | { type: 'gateway.drain'; reason?: string };

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
  readonly members: Map<string, AnyActorRef>;

  constructor(members: Map<string, AnyActorRef>) {
    this.members = members;
  }

  get children(): Record<string, AnyActorRef> {
    return Object.fromEntries(this.members);
  }
}

export const shard: ActorLogic<ShardSnapshot, ShardEvent> = {
  getInitialSnapshot: () => new ShardState(new Map()) as unknown as ShardSnapshot,
  getPersistedSnapshot: () => {
    throw new Error('a shard is never persisted');
  },
  transition(snapshot, event, scope) {
    const state = snapshot as unknown as ShardState;
    const type: string = event.type;
    if (type === 'child.add') add(state, (event as Extract<ShardEvent, { type: 'child.add' }>).spec, scope);
    else if (type === 'shutdown.announced') tellAll(state, event);
    else if (type === 'gateway.drain') {
      tellAll(state, event);
      return moved(state, { value: 'draining' });
    } else if (type === 'xstate.stop') {
      for (const member of state.members.values()) scope.stopChild(member);
      state.members.clear();
      return moved(state, { status: 'stopped' });
    } else if (type.startsWith('xstate.done.actor.') || type.startsWith('xstate.error.actor.')) {
      remove(state, event as unknown as Ended, scope);
      if (state.value === 'draining') return moved(state, {});
    }
    return snapshot;
  },
};

function add({ members, value }: ShardState, { id, logic, input }: Pick<ChildSpec, 'id' | 'logic' | 'input'>, scope: Scope): void {
  // Whoever comes to a shard that is leaving is too late, and is told so by whoever owns its socket.
  if (value === 'draining') return;
  const spawnId = `${id}@1`;
  const member = createActor(logic, { id: spawnId, parent: scope.self as AnyActorRef, ...(input === undefined ? {} : { input }) });
  members.set(spawnId, member);
  scope.defer(() => void member.start());
}

function remove({ members }: ShardState, { actorId }: Ended, scope: Scope): void {
  const member = members.get(actorId);
  if (member === undefined) return;
  members.delete(actorId);
  // What a failed actor had started runs on; nobody else would stop it.
  reap(member);
  scope.stopChild(member);
}

function tellAll({ members }: ShardState, event: ShardEvent): void {
  for (const member of members.values()) member.send(event);
}

/** A new object, so that observers see the change; the members stay where they are. */
function moved(state: ShardState, change: Partial<Pick<ShardState, 'value' | 'status'>>): ShardSnapshot {
  const next = Object.assign(new ShardState(state.members), { value: state.value, status: state.status }, change);
  if (next.value === 'draining' && next.status === 'active' && next.members.size === 0) next.status = 'done';
  return next as unknown as ShardSnapshot;
}
