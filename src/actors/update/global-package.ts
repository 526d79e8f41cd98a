/** Updates a package that a package manager installed for everything this user runs; no other installation is touched. */
import { realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { manifestOf } from './install.ts';
import { Ended, must, type Outcome, type Run, type Version } from './result.ts';

export type Manager = 'npm' | 'pnpm' | 'bun';

export async function updatePackage(
  { root, manager, env }: { root: string; manager: Manager; env: NodeJS.ProcessEnv },
  run: Run,
): Promise<Outcome> {
  const name = manifestOf(root)?.name;
  if (name === undefined) throw new Ended('skipped', 'unknown-install: the package has no manifest');
  const place = join(await globalFolder(manager, env, run), name);
  // A dependency of some project, or an installation of another manager: not ours to replace.
  if (realPath(place) !== realPath(root)) throw new Ended('skipped', `not-global: ${manager} has not installed this for the whole user`);
  const before = versionAt(place);
  const wanted = `${name}@latest`;
  await must(
    run,
    'install',
    manager === 'npm' ? ['npm', 'install', '--global', '--no-audit', '--no-fund', wanted] : [manager, 'add', '--global', wanted],
  );
  const after = versionAt(place);
  if (before.version === after.version) return { status: 'skipped', reason: 'up-to-date', before, after };
  await must(run, 'check', [process.execPath, join(place, 'bin', 'openclaw.mjs'), '--version']);
  return { status: 'ok', before, after };
}

async function globalFolder(manager: Manager, env: NodeJS.ProcessEnv, run: Run): Promise<string> {
  if (manager === 'bun') return join(env['BUN_INSTALL'] ?? join(env['HOME'] ?? homedir(), '.bun'), 'install', 'global', 'node_modules');
  const { ok, output } = await run(`${manager} root`, [manager, 'root', '--global']);
  if (!ok || output === '') throw new Ended('skipped', `not-global: ${manager} does not say where it installs`);
  return output;
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

const versionAt = (place: string): Version => {
  const { version } = manifestOf(place) ?? {};
  return version === undefined ? {} : { version };
};
