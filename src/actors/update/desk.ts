/** Answers `update.run`: the update itself, then the restart that new code needs. */
import type { MethodContext } from '../../protocol/context.ts';
import type { Restarts } from '../config/restarts.ts';
import { payloadOf, writeSentinel } from '../config/sentinel.ts';
import type { Gateway } from '../tree.ts';
import { hasServiceManager } from './manager.ts';
import type { UpdateResult } from './result.ts';

export function createUpdate(gateway: Gateway, restarts: Restarts): MethodContext['update'] {
  const { options, env, ports } = gateway;
  const log = gateway.log.child('update');
  return async (wish) => {
    const result = await ports.need('updater').run(wish.timeoutMs);
    const payload = payloadOf(wish, { kind: 'update', status: result.status, ts: env.now(), stats: statsOf(result) });
    const stays = whyNoRestart(result, hasServiceManager(options.env, process.pid));
    if (stays === undefined) {
      const sentinel = await writeSentinel(options.stateDir, payload, log);
      return { ok: true, result, restart: restarts.schedule('update.run', 'hard', wish), sentinel };
    }
    if (result.status === 'ok') log.warn({}, 'the code was updated, and this process still runs the old one: start the gateway again');
    return { ok: true, result, restart: restarts.none(stays, 'hard'), sentinel: { path: null, payload } };
  };
}

/** The gateway never starts its own successor: without somebody who does, ending would be the end of it. */
function whyNoRestart({ status }: UpdateResult, isManaged: boolean): string | undefined {
  if (status === 'error') return 'update failed';
  if (status === 'skipped') return 'not needed';
  return isManaged ? undefined : 'no service manager: the old code runs on until somebody starts the gateway again';
}

const statsOf = ({ mode, root, before, after, steps, reason, durationMs }: UpdateResult) => ({
  mode,
  ...(root === undefined ? {} : { root }),
  ...(before === undefined ? {} : { before }),
  ...(after === undefined ? {} : { after }),
  steps,
  ...(reason === undefined ? {} : { reason }),
  durationMs,
});
