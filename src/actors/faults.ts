/**
 * Finds the owner of an error that nobody caught. Every I/O actor runs inside an async context that carries its path,
 * so a throw in a timer, a stream handler or a forgotten promise still names the actor that caused it.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface FaultOwner {
  /** Path of the actor, as logs and the inspector show it. */
  readonly path: string;
  /** Fails that actor: its supervisor sees an ordinary `xstate.error.actor.*`. False when it had ended already. */
  crash(error: unknown): boolean;
}

const ownerStorage = new AsyncLocalStorage<FaultOwner>();

export const runOwned = <T>(owner: FaultOwner, work: () => T): T => ownerStorage.run(owner, work);

export const currentOwner = (): FaultOwner | undefined => ownerStorage.getStore();

/**
 * Turns process-level errors into failures of actors (F-01).
 * @param onStray called when no actor can be named (the root counts these against its own intensity), or with the path of
 * an actor that had ended already: there is nothing left to fail, but the error is not lost.
 */
export function catchStrayFaults(onStray: (error: unknown, late?: string) => void): () => void {
  const handle = (error: unknown) => {
    const owner = currentOwner();
    if (owner === undefined) onStray(error);
    else if (!owner.crash(error)) onStray(error, owner.path);
  };
  process.on('uncaughtException', handle);
  process.on('unhandledRejection', handle);
  return () => {
    process.off('uncaughtException', handle);
    process.off('unhandledRejection', handle);
  };
}
