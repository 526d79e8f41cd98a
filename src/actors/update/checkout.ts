/**
 * Updates a git checkout: forward along its upstream only, and never over changes of the operator's own. New code that
 * does not even say its version is taken back.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { manifestOf } from './install.ts';
import { Ended, must, type Outcome, type Run, type Version } from './result.ts';

/** @param isBuilt the gateway runs its release from `dist`, which has to be made anew. */
export async function updateCheckout(root: string, run: Run, isBuilt: boolean): Promise<Outcome> {
  const git = (name: string, ...args: string[]) => must(run, name, ['git', ...args]);
  const changes = await git('git status', 'status', '--porcelain', '--untracked-files=no');
  if (changes !== '') throw new Ended('skipped', 'dirty: the checkout has changes of its own');
  const upstream = await run('git upstream', ['git', 'rev-parse', '--abbrev-ref', '--symbolic-full-name', '@{upstream}']);
  if (!upstream.ok) throw new Ended('skipped', 'no-upstream: the checkout follows no branch of a remote');
  const before = await versionOf(root, run);
  await git('git fetch', 'fetch', '--quiet');
  const target = await git('git target', 'rev-parse', '@{upstream}');
  if (target === before.sha) return { status: 'skipped', reason: 'up-to-date', before, after: before };
  const isForward = await run('git ancestor', ['git', 'merge-base', '--is-ancestor', 'HEAD', target]);
  if (!isForward.ok) throw new Ended('skipped', 'diverged: the checkout has commits that its upstream has not');

  const changed = await git('git diff', 'diff', '--name-only', 'HEAD', target);
  await git('git merge', 'merge', '--ff-only', '--quiet', target);
  try {
    const install = /^(?:package\.json|package-lock\.json|pnpm-lock\.yaml|bun\.lockb?)$/m.test(changed) ? installOf(root) : undefined;
    if (install) await must(run, 'install dependencies', install);
    if (isBuilt) await must(run, 'build', ['npm', 'run', 'build', '--', '--no-pack']);
    await must(run, 'check', [process.execPath, join(root, 'bin', 'openclaw.mjs'), '--version']);
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
    // Keeps files of the operator's own, or refuses.
    const back = await run('git reset', ['git', 'reset', '--keep', '--quiet', before.sha as string]);
    const told = back.ok ? 'the old code is back' : 'the old code could not be brought back';
    return { ...error.outcome, reason: `${error.outcome.reason}; ${told}`, before };
  }
  return { status: 'ok', before, after: await versionOf(root, run) };
}

async function versionOf(root: string, run: Run): Promise<Version> {
  const sha = await must(run, 'git version', ['git', 'rev-parse', 'HEAD']);
  const { version } = manifestOf(root) ?? {};
  return { sha, ...(version === undefined ? {} : { version }) };
}

/** In place, so that what the running gateway has yet to load is there most of the time; the lock file stays as it is. */
function installOf(root: string): readonly [string, ...string[]] | undefined {
  if (existsSync(join(root, 'package-lock.json'))) return ['npm', 'install', '--no-save', '--no-audit', '--no-fund'];
  if (existsSync(join(root, 'pnpm-lock.yaml'))) return ['pnpm', 'install', '--frozen-lockfile'];
  if (['bun.lock', 'bun.lockb'].some((name) => existsSync(join(root, name)))) return ['bun', 'install', '--frozen-lockfile'];
  return undefined;
}
