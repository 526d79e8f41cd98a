/** Finds and reads the configuration file. Reading never writes, and never asks a network. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { type ParsedConfig, parseConfig } from '../../protocol/config/parse.ts';
import { resolvePaths, workspaceOf } from '../../protocol/config/paths.ts';

export interface LoadedConfig extends ParsedConfig {
  path: string;
  stateDir: string;
  exists: boolean;
  raw: string | null;
}

/** @param env the environment with `.env` files merged in, as the start of the process did it. */
export async function loadConfig(env: Record<string, string | undefined>, profile?: string): Promise<LoadedConfig> {
  const home = env['HOME'] || homedir();
  const { stateDir, configPath } = resolvePaths(env, home, process.cwd(), profile);
  const raw = await readFile(configPath, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw error;
  });
  const parsed = parseConfig(raw, env, { home, workspace: workspaceOf(home, profile) });
  return { ...parsed, path: configPath, stateDir, exists: raw !== null, raw };
}
