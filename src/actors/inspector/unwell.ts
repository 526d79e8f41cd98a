/** Who is not well: children of a supervisor that crashed and are not back yet, wherever in the tree. */
import type { AnyActorRef } from 'xstate';
import { type ChildRecord, splitSpawnId } from '../../machines/supervisor.ts';

export interface Unwell {
  /** Path without epochs: `edge/channels/account:telegram:default`. */
  id: string;
  state: string;
  lastError?: string;
  restarts: number;
}

interface Shape {
  children?: Record<string, AnyActorRef | undefined>;
  context?: { children?: Record<string, ChildRecord>; order?: unknown };
}

export function unwell(actor: AnyActorRef, path = ''): Unwell[] {
  const snapshot = actor.getSnapshot() as Shape;
  // Only charts start their children again; a shard of clients has thousands, and nothing to tell.
  if (snapshot.context === undefined) return [];
  const { children = {}, context } = snapshot;
  const records = context.order === undefined ? [] : Object.values(context.children ?? {});
  const own = records.filter(isUnwell).map(({ spec, phase, lastError, restarts }) => ({
    id: join(path, spec.id),
    state: phase,
    restarts,
    ...(lastError === undefined ? {} : { lastError }),
  }));
  const below = Object.values(children).flatMap((child) =>
    child === undefined ? [] : unwell(child, join(path, splitSpawnId(child.id)[0])),
  );
  return [...own, ...below];
}

/** A first start is no illness; a repeated one is, until it is up. */
const isUnwell = ({ phase, restarts }: ChildRecord) => phase === 'waiting' || phase === 'resting' || (phase === 'starting' && restarts > 0);

const join = (path: string, name: string) => (path === '' ? name : `${path}/${name}`);
