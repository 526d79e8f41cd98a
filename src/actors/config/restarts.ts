/** Asks the controller for a restart, and says in the words of the protocol what came of it. Own requests need no signal. */
import type { AnyActorRef } from 'xstate';
import { maxDelayMs, type RestartKind } from '../../machines/control.ts';
import type { RestartWish } from '../../protocol/restart-wish.ts';
import { unavailable } from '../../protocol/errors.ts';
import { noteOf } from './sentinel.ts';

export interface RestartAnswer {
  ok: boolean;
  pid: number;
  signal: 'SIGUSR1';
  delayMs: number;
  reason?: string;
  mode: 'emit';
  kind: RestartKind;
  coalesced: boolean;
}

export interface Restarts {
  /** @throws GatewayError UNAVAILABLE while nobody could decide about one: nothing was attempted. */
  expectDecider(): void;
  schedule(asker: string, kind: RestartKind, wish: RestartWish): RestartAnswer;
  /** None is scheduled, and why. */
  none(reason: string, kind?: RestartKind): RestartAnswer;
}

const defaultDelayMs = 2_000;

export function createRestarts({ control, now }: { control(): AnyActorRef | undefined; now(): number }): Restarts {
  const answer = (more: Pick<RestartAnswer, 'ok' | 'delayMs' | 'kind' | 'coalesced'> & { reason?: string | undefined }): RestartAnswer => {
    const { ok, delayMs, reason, kind, coalesced } = more;
    return { ok, pid: process.pid, signal: 'SIGUSR1', delayMs, ...(reason ? { reason } : {}), mode: 'emit', kind, coalesced };
  };

  return {
    expectDecider() {
      if (control() === undefined) throw unavailable('control is not up yet', 1_000);
    },
    schedule(asker, kind, wish) {
      const reason = noteOf(wish);
      const delayMs = Math.min(maxDelayMs, wish.restartDelayMs ?? defaultDelayMs);
      const decider = control();
      // Gone since it was looked for: everything is being rebuilt right now, and reads what has just been written.
      if (decider === undefined) return answer({ ok: kind === 'soft', delayMs: 0, reason, kind, coalesced: true });
      const before = (decider.getSnapshot() as { value: string }).value;
      decider.send({ type: 'restart.request', reason: reason === undefined ? asker : `${asker}: ${reason}`, delayMs, kind });
      const isFirst = before === 'idle';
      const { context } = decider.getSnapshot() as { context: { dueAt: number; kind: RestartKind } };
      return answer({
        ok: true,
        delayMs: isFirst ? delayMs : Math.max(0, context.dueAt - now()),
        reason,
        kind: context.kind,
        coalesced: !isFirst,
      });
    },
    none: (reason, kind = 'soft') => answer({ ok: false, delayMs: 0, reason, kind, coalesced: false }),
  };
}
