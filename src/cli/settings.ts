/** The few keys a client needs, read leniently: a mistake elsewhere in the file is the gateway's business. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { mergeDotEnv, type Paths, resolvePaths } from '../protocol/config/paths.ts';
import type { Call } from './command.ts';

export type Environment = Record<string, string | undefined>;

export interface ClientSettings {
  gateway?: {
    mode?: string;
    port?: number;
    bind?: string;
    customBindHost?: string;
    auth?: { token?: string; password?: string };
    remote?: { url?: string; token?: string; password?: string };
  };
  agents?: { defaults?: { timeoutSeconds?: number } };
}

export const homeOf = (env: Environment): string => env['HOME'] || homedir();

/** Paths of the chosen instance, and the environment with its `.env` files below what is really set. */
export function instanceOf({ io, profile }: Pick<Call, 'io' | 'profile'>): Paths & { env: Environment; home: string } {
  const home = homeOf(io.env);
  const first = resolvePaths(io.env, home, process.cwd(), profile);
  const files = [join(process.cwd(), '.env'), join(first.stateDir, '.env')].filter((path) => existsSync(path));
  const env = files.reduce<Environment>((merged, path) => mergeDotEnv(merged, readFileSync(path, 'utf8')), io.env);
  return { ...resolvePaths(env, home, process.cwd(), profile), env, home };
}

export interface ReadSettings {
  settings: ClientSettings;
  /** Why the file could not be used. Said only where a command fails for the lack of it. */
  problem?: string;
}

export async function readClientSettings(path: string, env: Environment): Promise<ReadSettings> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { settings: {}, problem: code === 'ENOENT' || code === 'ENOTDIR' ? 'not there' : `cannot be read: ${code}` };
  }
  try {
    return { settings: substitute(await parse(text), env) as ClientSettings };
  } catch {
    return { settings: {}, problem: 'cannot be read as JSON5' };
  }
}

/** Most files are plain JSON, which needs no parser to be loaded. */
async function parse(text: string): Promise<unknown> {
  try {
    return JSON.parse(text);
  } catch {
    const { default: JSON5 } = await import('json5');
    const value: unknown = JSON5.parse(text);
    if (typeof value !== 'object' || value === null) throw new Error('no object');
    return value;
  }
}

function substitute(value: unknown, env: Environment): unknown {
  if (typeof value === 'string')
    return value.replace(/\$?\$\{([A-Z_][A-Z0-9_]*)\}/g, (match, name: string) =>
      match.startsWith('$$') ? match.slice(1) : (env[name] ?? ''),
    );
  if (Array.isArray(value) || typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substitute(item, env)]));
}
