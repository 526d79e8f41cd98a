/**
 * Brings newer code onto this machine, one update at a time, by whoever installed the present code. Owns the programs it
 * starts: they end at the caller's deadline and with this actor. Whether a restart follows is decided by whoever asked.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { unavailable } from '../../protocol/errors.ts';
import { fromIo } from '../io.ts';
import type { Log } from '../log.ts';
import { cleanEnvironment } from '../runs/tools/exec.ts';
import type { CommandGroups } from '../runs/tools/command-groups.ts';
import { updateCheckout } from './checkout.ts';
import { updatePackage } from './global-package.ts';
import { findInstall } from './install.ts';
import { Ended, type Outcome, runner, type UpdateResult } from './result.ts';
import type { Step } from './step.ts';

export interface UpdaterPort {
  /** @throws GatewayError UNAVAILABLE while another one is running. */
  run(timeoutMs: number | undefined): Promise<UpdateResult>;
}

export interface UpdaterPorts {
  env: Record<string, string | undefined>;
  groups: CommandGroups;
  offer(port: UpdaterPort): () => void;
  log: Log;
}

const minTimeoutMs = 1_000;
const defaultTimeoutMs = 20 * 60_000;
/** Nobody waits longer, and an update that takes this long hangs. */
const maxTimeoutMs = 3_600_000;

export const updater = ({ env, groups, offer, log }: UpdaterPorts) =>
  fromIo<unknown>(({ signal, after }) => {
    let isBusy = false;
    return offer({
      async run(timeoutMs = defaultTimeoutMs) {
        if (isBusy) throw unavailable('an update is running already', 10_000);
        isBusy = true;
        const deadline = new AbortController();
        const disarm = after(Math.min(maxTimeoutMs, Math.max(minTimeoutMs, timeoutMs)), () => deadline.abort('deadline'));
        try {
          const result = await update(env, { groups, signal: AbortSignal.any([signal, deadline.signal]) });
          const { status, mode, reason } = result;
          log[status === 'error' ? 'warn' : 'info']({ status, mode, reason, ms: result.durationMs }, 'update');
          return result;
        } finally {
          disarm();
          isBusy = false;
        }
      },
    });
  });

async function update(
  env: Record<string, string | undefined>,
  { groups, signal }: { groups: CommandGroups; signal: AbortSignal },
): Promise<UpdateResult> {
  const from = performance.now();
  const { root, kind } = findInstall(env);
  const steps: Step[] = [];
  let outcome: Outcome = { status: 'skipped', reason: 'unknown-install: neither a checkout nor a package of a known manager' };
  if (root !== undefined && kind !== 'unknown') {
    const childEnv = environmentOf(env);
    const run = runner(root, { env: childEnv, groups, signal }, steps);
    try {
      outcome =
        kind === 'git'
          ? await updateCheckout(root, run, isBuilt(root, env))
          : await updatePackage({ root, manager: kind, env: childEnv }, run);
    } catch (error) {
      if (!(error instanceof Ended)) throw error;
      outcome = error.outcome;
    }
  }
  const { status, ...more } = outcome;
  const durationMs = Math.round(performance.now() - from);
  return { status, mode: kind, ...(root === undefined ? {} : { root }), ...more, steps, durationMs };
}

/** As the launcher decides it. */
const isBuilt = (root: string, env: Record<string, string | undefined>) =>
  env['OPENCLAW_USE_DIST'] === '1' || !existsSync(join(root, 'src', 'main.ts'));

/** None of our secrets, nobody to ask for a password, and no other repository than the one it is started in. */
function environmentOf(env: Record<string, string | undefined>): NodeJS.ProcessEnv {
  const { GIT_DIR: _dir, GIT_WORK_TREE: _tree, GIT_INDEX_FILE: _index, ...rest } = cleanEnvironment(env);
  return { ...rest, GIT_TERMINAL_PROMPT: '0', NO_COLOR: '1' };
}
