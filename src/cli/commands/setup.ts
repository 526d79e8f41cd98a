import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { get } from '../../protocol/config/parse.ts';
import { workspaceOf } from '../../protocol/config/paths.ts';
import { placeOf, scan } from '../../protocol/config/scan.ts';
import { type Call, CommandError, defineCommand, textOption, UsageError } from '../command.ts';
import { withProfile } from '../errors.ts';
import { instanceOf } from '../settings.ts';
import { table } from '../table.ts';

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
/** Only where nothing was before: somebody who deleted it has read it. */
const firstFile = [
  'BOOTSTRAP.md',
  '# First conversation\n\nAsk your person who they are and what they need, write it down in USER.md, then delete this file.\n',
] as const;
const canvasPage = '<!doctype html>\n<meta charset="utf-8">\n<title>Canvas</title>\n<p>Nothing is shown here yet.</p>\n';

export const setup = defineCommand({
  path: ['setup'],
  summary: 'Writes a configuration with a token, and a workspace. A second time it changes nothing.',
  usage: 'openclaw setup [--workspace <dir>] [--json]',
  options: {
    workspace: { type: 'string', help: 'Folder of the agent', value: '<dir>' },
    json: { type: 'boolean', help: 'Print one JSON document' },
  },
  async run(call) {
    if (call.positionals.length > 0) throw new UsageError(`openclaw setup takes no '${call.positionals[0]}'; see: openclaw setup --help`);
    const result = await runSetup(call);
    if (call.options['json']) {
      call.io.json(result);
      return 0;
    }
    const { config, workspace, sessions } = result;
    const changes = config.changedPaths.length > 0 ? `added ${config.changedPaths.join(', ')}` : 'ok';
    const rows = [
      ['config', `${config.path} (${config.created ? 'written' : changes})`],
      ['workspace', `${workspace.path} (${workspace.files.length > 0 ? `added ${workspace.files.join(', ')}` : 'ok'})`],
      ['sessions', sessions.path],
    ];
    for (const line of table(rows)) call.io.print(line);
    call.io.print(withProfile('\nStart the gateway with: openclaw gateway', call.profile));
    return 0;
  },
});

export async function runSetup(call: Call): Promise<SetupResult> {
  const { stateDir, configPath, home } = instanceOf(call);
  const wanted = textOption(call.options['workspace']) ?? workspaceOf(home, call.profile);
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const exists = existsSync(configPath);
  const { text, changed, token, workspace, skipFiles } = await complete(configPath, exists ? readFileSync(configPath, 'utf8') : '', wanted);
  if (text !== undefined) write(configPath, text);
  const folder = workspace.replace(/^~(?=\/|$)/, home);
  const isNew = !existsSync(folder);
  const files = createWorkspace(folder, skipFiles);
  return {
    schemaVersion: 1,
    config: { path: configPath, created: !exists, changedPaths: changed },
    workspace: { path: folder, created: isNew, files },
    sessions: { path: join(stateDir, 'gateway.db') },
    token: {
      generated: token !== undefined,
      ...(token === undefined ? {} : { fingerprint: createHash('sha256').update(token).digest('hex').slice(0, 8) }),
    },
  };
}

interface Completed {
  /** The new text, when it differs. */
  text?: string;
  changed: string[];
  token?: string;
  workspace: string;
  skipFiles: boolean;
}

/** Only what is missing is added, in front of what is there: no other byte of the file is touched. */
async function complete(path: string, text: string, wanted: string): Promise<Completed> {
  const document = text.trim() === '' ? {} : await parse(path, text);
  const workspace = get(document, 'agents.defaults.workspace');
  const hasSecret = Boolean(get(document, 'gateway.auth.token') || get(document, 'gateway.auth.password'));
  const token = hasSecret ? undefined : randomBytes(24).toString('hex');
  const wantsMode = get(document, 'gateway.mode') === undefined && text.trim() === '';
  const missing: [path: string, value: unknown][] = [
    ...(wantsMode ? [['gateway.mode', 'local'] as [string, unknown]] : []),
    ...(token === undefined
      ? []
      : [
          ...(get(document, 'gateway.auth.mode') === undefined ? [['gateway.auth.mode', 'token'] as [string, unknown]] : []),
          ['gateway.auth.token', token] as [string, unknown],
        ]),
    ...(workspace === undefined ? [['agents.defaults.workspace', wanted] as [string, unknown]] : []),
  ];
  const result = {
    changed: missing.map(([key]) => key),
    workspace: typeof workspace === 'string' ? workspace : wanted,
    skipFiles: get(document, 'agents.defaults.skipBootstrap') === true,
    ...(token === undefined ? {} : { token }),
  };
  if (missing.length === 0) return result;
  const next =
    text.trim() === ''
      ? `${JSON.stringify(nest(missing), null, 2)}\n`
      : missing.reduce((current, [key, value]) => insert(path, current, key, value), text);
  return { ...result, text: next };
}

async function parse(path: string, text: string): Promise<Record<string, unknown>> {
  const { default: JSON5 } = await import('json5');
  try {
    const value: unknown = JSON5.parse(text.replace(/^\uFEFF/, ''));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    const { lineNumber, columnNumber } = error as { lineNumber?: number; columnNumber?: number };
    throw new CommandError(
      `${path} cannot be read at line ${lineNumber}, column ${columnNumber}; nothing was written`,
      'mend the file, then run: openclaw setup',
    );
  }
  throw new CommandError(`${path} does not hold an object; nothing was written`, 'mend the file, then run: openclaw setup');
}

function nest(entries: readonly [path: string, value: unknown][]): object {
  const root: Record<string, unknown> = {};
  for (const [path, value] of entries) {
    const keys = path.split('.');
    const last = keys.pop() as string;
    const target = keys.reduce((node, key) => (node[key] ??= {}) as Record<string, unknown>, root);
    target[last] = value;
  }
  return root;
}

/** Puts a value into the innermost object of its path that is there, right behind the opening brace. */
function insert(path: string, text: string, key: string, value: unknown): string {
  const { objects } = scan(text);
  const parts = key.split('.');
  for (let depth = parts.length - 1; depth >= 0; depth -= 1) {
    const place = objects.get(parts.slice(0, depth).join('.'));
    if (place === undefined) continue;
    const rest = parts.slice(depth);
    const written = `${JSON.stringify(rest[0])}: ${JSON.stringify(rest.slice(1).reduceRight<unknown>((inner, name) => ({ [name]: inner }), value))}`;
    const indent = '  '.repeat(depth + 1);
    return `${text.slice(0, place.inside)}\n${indent}${written}${place.isEmpty ? '\n' : ','}${text.slice(place.inside)}`;
  }
  const { line } = placeOf(text, 0);
  throw new CommandError(`${path} does not hold an object at line ${line}; nothing was written`, 'mend the file, then run: openclaw setup');
}

/** The old file or the new one, never half of either. */
function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}

/** @returns the files that were made; what is there is never overwritten. */
function createWorkspace(folder: string, skipFiles: boolean): string[] {
  mkdirSync(join(folder, 'canvas'), { recursive: true, mode: 0o700 });
  const isNew = !Object.keys(workspaceFiles).some((name) => existsSync(join(folder, name)));
  const wanted = skipFiles ? [] : [...Object.entries(workspaceFiles), ...(isNew ? [firstFile] : [])];
  return [...wanted, ['canvas/index.html', canvasPage] as const].flatMap(([name, text]) => {
    const path = join(folder, name);
    if (existsSync(path)) return [];
    writeFileSync(path, text, { mode: 0o600 });
    return [name];
  });
}
