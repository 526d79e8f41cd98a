import type { AnyActorRef } from 'xstate';

/**
 * Stops the children that a failed actor left running. XState stops the children of an actor that is stopped, but not of
 * one that throws, and has no public call for "stop somebody else's child": `_stop` is used here and nowhere else, and a
 * test fails when it disappears.
 */
export function reap(dead: AnyActorRef | undefined): void {
  const orphans = (dead?.getSnapshot() as { children?: Record<string, AnyActorRef | undefined> } | undefined)?.children;
  for (const orphan of Object.values(orphans ?? {})) {
    if (orphan === undefined) continue;
    const { status } = orphan.getSnapshot() as { status: string };
    if (status === 'active') (orphan as unknown as { _stop(): void })._stop();
    else reap(orphan);
  }
}
