/** Draws the live tree: every actor with its state, age, restarts, and what waits in front of it. */
import type { AnyActorRef } from 'xstate';
import type { ChildRecord } from '../../machines/supervisor.ts';
import { splitSpawnId } from '../../machines/supervisor.ts';
import { type Recorder, stateText } from './recorder.ts';

export interface ActorNode {
  name: string;
  path: string;
  kind: 'machine' | 'supervisor' | 'io';
  state: string;
  status: string;
  ageMs: number;
  epoch: number;
  restarts: number;
  inbox: number;
  /** Type of the event that led to the present state. */
  why?: string;
  /** What a child that is down waits for. */
  waits?: string;
  children: ActorNode[];
}

interface Shape {
  status: string;
  value?: unknown;
  children?: Record<string, AnyActorRef>;
  context?: { children?: Record<string, ChildRecord>; queue?: unknown[] };
}

export interface TreeOptions {
  recorder: Recorder;
  now: number;
  /** Work that waits in front of an actor outside its mailbox (pending store calls, queued rows). */
  inboxOf(name: string): number | undefined;
}

export function treeOf(actor: AnyActorRef, options: TreeOptions, parentPath = '', record?: ChildRecord): ActorNode {
  const { recorder, now } = options;
  const snapshot = actor.getSnapshot() as Shape;
  const [name, epoch] = splitSpawnId(actor.id);
  const path = parentPath === '' ? name : `${parentPath}/${name}`;
  const records = snapshot.context?.children;
  const isSupervisor = records !== undefined && 'order' in (snapshot.context ?? {});
  const children = Object.values(snapshot.children ?? {}).map((child) =>
    treeOf(child, options, path, isSupervisor ? records?.[splitSpawnId(child.id)[0]] : undefined),
  );
  if (isSupervisor) children.push(...waitingChildren(records ?? {}, path, now));
  const why = recorder.causeOf(actor);
  const queued = Array.isArray(snapshot.context?.queue) && !isSupervisor ? snapshot.context.queue.length : 0;
  return {
    name,
    path,
    kind: isSupervisor ? 'supervisor' : snapshot.value === undefined ? 'io' : 'machine',
    state: stateText(snapshot.value) || snapshot.status,
    status: snapshot.status,
    ageMs: Math.max(0, Math.round(now - (recorder.createdAt(actor) ?? now))),
    epoch,
    restarts: record?.restarts ?? 0,
    inbox: options.inboxOf(name) ?? queued,
    ...(why === undefined || why === 'xstate.init' ? {} : { why }),
    children,
  };
}

/** Children that are down have no actor to ask; the supervisor remembers them. */
function waitingChildren(records: Record<string, ChildRecord>, path: string, now: number): ActorNode[] {
  return Object.values(records)
    .filter(({ phase }) => phase === 'waiting' || phase === 'resting')
    .map(({ spec, epoch, phase, restarts, startedAt, lastError }) => ({
      name: spec.id,
      path: `${path}/${spec.id}`,
      kind: 'io' as const,
      state: phase,
      status: 'down',
      ageMs: Math.max(0, Math.round(now - startedAt)),
      epoch,
      restarts,
      inbox: 0,
      ...(lastError === undefined ? {} : { why: lastError }),
      waits: phase === 'waiting' ? 'restart after its back-off' : 'restart after its cool-down',
      children: [],
    }));
}
