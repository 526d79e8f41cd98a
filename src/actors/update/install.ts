/** How this program came onto this machine: whoever brought it can bring newer code. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type InstallKind = 'git' | 'npm' | 'pnpm' | 'bun' | 'unknown';

export interface Install {
  kind: InstallKind;
  /** Folder of the manifest; `undefined` when it cannot be found. */
  root: string | undefined;
}

const productName = 'openclaw-gateway';

/** @param env a test may name another root, so that it never updates the code that it is testing. */
export function findInstall(env: Record<string, string | undefined>): Install {
  const named = env['OPENCLAW_TEST'] === '1' ? env['OPENCLAW_TEST_INSTALL_ROOT'] : undefined;
  const root = named ?? rootAbove(dirname(fileURLToPath(import.meta.url)));
  return { root, kind: root === undefined ? 'unknown' : kindOf(root) };
}

function rootAbove(folder: string): string | undefined {
  for (let current = folder; ; current = dirname(current)) {
    if (manifestOf(current)?.name === productName) return current;
    if (current === dirname(current)) return undefined;
  }
}

function kindOf(root: string): InstallKind {
  // A file in a linked work tree, a folder otherwise.
  if (existsSync(join(root, '.git'))) return 'git';
  if (basename(dirname(root)) !== 'node_modules') return 'unknown';
  if (/[\\/]\.bun[\\/]|[\\/]install[\\/]global[\\/]node_modules[\\/]/.test(root)) return 'bun';
  return /[\\/]\.?pnpm[\\/]/.test(root) ? 'pnpm' : 'npm';
}

export function manifestOf(root: string): { name?: string; version?: string } | undefined {
  try {
    return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name?: string; version?: string };
  } catch {
    return undefined;
  }
}
