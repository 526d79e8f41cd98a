import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { createHash } from 'node:crypto';
import { resolvePaths } from '../../protocol/config/paths.ts';
import { type CommandCall, defineCommand, textOption } from '../command.ts';

export interface SetupResult {
  schemaVersion: 1;
  config: { path: string; created: boolean; changedPaths: string[] };
  workspace: { path: string; created: boolean; files: string[] };
  sessions: { path: string };
  token: { generated: boolean; fingerprint?: string };
}

/** Files a new workspace begins with; the owner fills them. */
const workspaceFiles: Readonly<Record<string, string>> = {
  'AGENTS.md': '# How the agent works\n\nWrite here what it should always do, and what never.\n',
  'SOUL.md': '# Tone\n\nWrite here how it should sound.\n',
  'TOOLS.md': '# Tools\n\nNotes about programs and services on this machine.\n',
  'IDENTITY.md': '# Identity\n\nIts name, and what it is to you.\n',
  'USER.md': '# You\n\nWhat it should know about you.\n',
  'HEARTBEAT.md': '',
};

export const setup = defineCommand({
  path: ['setup'],
  summary: 'Writes a configuration with a token, and a workspace. A second time it changes nothing.',
  usage: 'openclaw setup [--workspace <dir>] [--json]',
  options: {
    workspace: { type: 'string', help: 'Folder of the agent', value: '<dir>' },
    json: { type: 'boolean', help: 'Print one JSON document' },
  },
  async run(call) {
    const result = await runSetup(call);
    if (call.options['json']) {
      call.io.json(result);
      return 0;
    }
    const { config, workspace, sessions } = result;
    call.io.print(`config     ${config.path} (${config.created ? 'written' : config.changedPaths.length > 0 ? `added ${config.changedPaths.join(', ')}` : 'ok'})`);
    call.io.print(`workspace  ${workspace.path} (${workspace.files.length > 0 ? `added ${workspace.files.join(', ')}` : 'ok'})`);
    call.io.print(`sessions   ${sessions.path}`);
    call.io.print('\nStart the gateway with: openclaw gateway');
    return 0;
  },
});

export async function runSetup({ io, options, profile }: Pick<CommandCall, 'io' | 'options' | 'profile'>): Promise<SetupResult> {
  const home = io.env['HOME'] || homedir();
  const { stateDir, configPath } = resolvePaths(io.env, home, process.cwd(), profile);
  const workspace = textOption(options['workspace']) ?? join(home, '.openclaw', profile && profile !== 'default' ? `workspace-${profile}` : 'workspace');
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const config = existsSync(configPath) ? await complete(configPath, workspace) : create(configPath, workspace);
  const files = createWorkspace(config.workspace);
  return {
    schemaVersion: 1,
    config: { path: configPath, created: config.created, changedPaths: config.changed },
    workspace: { path: config.workspace, created: files.length > 0, files },
    sessions: { path: join(stateDir, 'gateway.db') },
    token: { generated: config.token !== undefined, ...(config.token ? { fingerprint: createHash('sha256').update(config.token).digest('hex').slice(0, 8) } : {}) },
  };
}

const newToken = () => randomBytes(24).toString('hex');

function create(path: string, workspace: string) {
  const token = newToken();
  const document = { gateway: { mode: 'local', auth: { mode: 'token', token } }, agents: { defaults: { workspace } } };
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  write(path, `${JSON.stringify(document, null, 2)}\n`);
  return { created: true, changed: ['gateway.mode', 'gateway.auth', 'agents.defaults.workspace'], token, workspace };
}

/** Only what is missing is added, in front of what is there: no other byte of the file is touched. */
async function complete(path: string, workspace: string) {
  const text = readFileSync(path, 'utf8');
  const { default: JSON5 } = await import('json5');
  let document: { gateway?: { mode?: unknown; auth?: { token?: unknown; password?: unknown } }; agents?: { defaults?: { workspace?: string } } };
  try {
    document = JSON5.parse(text.trim() === '' ? '{}' : text) as typeof document;
  } catch (error) {
    const place = /at (\d+:\d+)/.exec((error as Error).message)?.[1] ?? 'an unknown place';
    throw Object.assign(new Error(`${path} cannot be read (line and column ${place}); nothing was written`), { fix: 'mend the file, then run: openclaw setup' });
  }
  const auth = document.gateway?.auth;
  const hasSecret = Boolean(auth?.token || auth?.password);
  const chosen = document.agents?.defaults?.workspace ?? workspace;
  const additions: string[] = [];
  const changed: string[] = [];
  let token: string | undefined;
  if (document.gateway === undefined) {
    token = newToken();
    additions.push(`gateway: { mode: 'local', auth: { mode: 'token', token: '${token}' } },`);
    changed.push('gateway.mode', 'gateway.auth');
  } else if (!hasSecret) throw Object.assign(new Error(`${path} has a gateway section without a token; nothing was written`), { fix: `add to it: auth: { mode: 'token', token: '<48 random characters>' }` });
  if (document.agents === undefined) {
    additions.push(`agents: { defaults: { workspace: ${JSON.stringify(chosen)} } },`);
    changed.push('agents.defaults.workspace');
  }
  if (additions.length > 0) {
    const at = text.indexOf('{');
    write(path, at < 0 ? `{\n  ${additions.join('\n  ')}\n}\n` : `${text.slice(0, at + 1)}\n  ${additions.join('\n  ')}${text.slice(at + 1)}`);
  }
  return { created: false, changed, token, workspace: chosen.replace(/^~(?=\/|$)/, homedir()) };
}

/** The old file or the new one, never half of either. */
function write(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}

function createWorkspace(folder: string): string[] {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return Object.entries(workspaceFiles).flatMap(([name, text]) => {
    const path = join(folder, name);
    if (existsSync(path)) return [];
    writeFileSync(path, text, { mode: 0o600 });
    return [name];
  });
}
