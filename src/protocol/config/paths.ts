/** Where this instance keeps its state, its configuration and its workspace. Pure: home and working directory are handed in. */
export interface Paths {
  stateDir: string;
  configPath: string;
}

type Environment = Record<string, string | undefined>;

export function resolvePaths(env: Environment, home: string, cwd: string, profile?: string): Paths {
  const absolute = (path: string) => {
    const expanded = path.replace(/^~(?=\/|$)/, home);
    return expanded.startsWith('/') ? expanded : `${cwd}/${expanded}`;
  };
  const stateDir = env['OPENCLAW_STATE_DIR'] ? absolute(env['OPENCLAW_STATE_DIR']) : `${home}/.openclaw${suffixOf(profile)}`;
  const configPath = env['OPENCLAW_CONFIG_PATH'] ? absolute(env['OPENCLAW_CONFIG_PATH']) : `${stateDir}/openclaw.json`;
  return { stateDir, configPath };
}

/** It hangs under the main folder for every profile, so that all workspaces are found in one place. */
export const workspaceOf = (home: string, profile?: string): string => `${home}/.openclaw/workspace${suffixOf(profile)}`;

const suffixOf = (profile: string | undefined) =>
  profile === undefined || profile === '' || profile.toLowerCase() === 'default' ? '' : `-${profile}`;

/** Port when nothing sets one. */
export const defaultPortOf = (profile: string | undefined): number => (profile === 'dev' ? 19_001 : 18_789);

/** Adds what the text of a `.env` file says to an environment; what is set already stays. */
export function mergeDotEnv(env: Environment, text: string): Environment {
  const result = { ...env };
  for (const line of text.split('\n')) {
    const [, name, value = ''] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined && !result[name]) result[name] = value.replace(/^(['"])(.*)\1$/, '$2');
  }
  return result;
}
