/**
 * Runs a shell command for an agent. What may run is decided by `tools.exec`: nothing (`deny`), listed programs without
 * shell tricks (`allowlist`), or anything (`full`); without a setting anything for the owner in the main conversation, and
 * listed programs for everybody else. The child gets no keys of ours, has a group of its own,
 * and is gone two seconds after the run that started it, whatever it does.
 */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { isKeptSecret } from '../../redact.ts';
import { keyVariables } from '../models/providers.ts';
import type { Tool } from '../models/contract.ts';
import { type CommandGroups, killGroup } from './command-groups.ts';
import type { ToolPorts } from './index.ts';

/** Programs that only show something, with the arguments they may have: none that reads a file out or sets anything. */
const harmless = new Map<string, RegExp>([
  ['date', /^(?:-u)?\s*(?:\+\S+)?$/],
  ['df', /^(?:-h)?$/],
  ['echo', /^/],
  ['hostname', /^$/],
  ['ls', /^/],
  ['pwd', /^$/],
  ['uname', /^(?:-[a-z]+)?$/],
  ['uptime', /^(?:-[ps])?$/],
  ['whoami', /^$/],
]);
const killAfterMs = 2_000;
const maxOutput = 200_000;

export const execTool = ({ exec, workspace, env, groups }: Pick<ToolPorts, 'exec' | 'workspace' | 'env' | 'groups'>): Tool => ({
  name: 'exec',
  description: 'Runs a shell command in the workspace and returns what it printed.',
  parameters: {
    type: 'object',
    properties: { command: { type: 'string', minLength: 1, maxLength: 10_000 }, timeout: { type: 'integer', minimum: 1, maximum: 86_400 } },
    required: ['command'],
    additionalProperties: false,
  },
  readOnly: false,
  async execute(args, { signal, isOwner }) {
    const command = String(args['command']);
    const refusal = refusalOf(command, { ...exec, security: exec.security ?? (isOwner ? 'full' : 'allowlist') });
    if (refusal !== undefined) return { text: refusal, isError: true };
    mkdirSync(workspace, { recursive: true, mode: 0o700 });
    const timeoutMs = (typeof args['timeout'] === 'number' ? args['timeout'] : exec.timeoutSeconds) * 1_000;
    const { output, code, ended } = await runCommand(command, workspace, cleanEnvironment(env), timeoutMs, signal, groups);
    const text = output.trimEnd();
    if (ended === 'timeout') return { text: `${text}\n[ended after ${timeoutMs / 1_000} s]`.trimStart(), isError: true };
    if (code !== 0) return { text: `${text}\n[exit code ${code ?? 'none'}]`.trimStart(), isError: true };
    return { text: text === '' ? '(no output)' : text, isError: false };
  },
});

/** Why a command may not run; `undefined` when it may. */
export function refusalOf(command: string, { security, allowlist }: Pick<ToolPorts['exec'], 'security' | 'allowlist'>): string | undefined {
  if (security === 'full') return undefined;
  if (security === 'deny') return 'Running commands is switched off (tools.exec.security is deny).';
  // With a list of programs, whatever could start another program or write somewhere is not in the list.
  if (/[`$<>&;|\n\\()]/.test(command))
    return 'Only plain commands may run here: no pipes, redirections, substitutions or chains (tools.exec.security is allowlist).';
  const [, program = '', rest = ''] = /^\s*(\S+)\s*(.*?)\s*$/.exec(command) ?? [];
  if (allowlist.includes(program) || harmless.get(program)?.test(rest)) return undefined;
  return `"${program.slice(0, 64)}" is not in the list of allowed programs, or not with these arguments. The operator can add it to tools.exec.allowlist.`;
}

/** Neither our own secrets nor the model keys are any business of a command, whichever variable the config took them from. */
export function cleanEnvironment(env: Record<string, string | undefined>): NodeJS.ProcessEnv {
  const isOurs = (name: string) => /^OPENCLAW_|_API_KEY$/.test(name) || keyVariables.includes(name) || name === 'TELEGRAM_BOT_TOKEN';
  return Object.fromEntries(Object.entries(env).filter(([name, value]) => value !== undefined && !isOurs(name) && !isKeptSecret(value)));
}

interface Ended {
  output: string;
  code: number | null;
  ended: 'exit' | 'timeout' | 'abort';
}

function runCommand(
  command: string,
  cwd: string,
  env: NodeJS.ProcessEnv,
  timeoutMs: number,
  signal: AbortSignal,
  groups: CommandGroups,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    // A group of its own: what the command starts ends with it.
    const child = spawn('/bin/sh', ['-c', command], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let ended: Ended['ended'] = 'exit';
    let hardEnd: NodeJS.Timeout | undefined;

    const group = child.pid;
    if (group !== undefined) groups.add(group);
    const kill = (name: NodeJS.Signals) => {
      if (group !== undefined) killGroup(group, name);
    };
    const leave = () => {
      kill('SIGTERM');
      hardEnd ??= setTimeout(() => kill('SIGKILL'), killAfterMs);
    };
    const end = (why: Ended['ended']) => {
      ended = why;
      leave();
    };
    const onAbort = () => end('abort');
    const limit = setTimeout(() => end('timeout'), Math.min(timeoutMs, 2 ** 31 - 1));
    const take = (chunk: Buffer) => {
      if (output.length < maxOutput) output += chunk.toString('utf8').slice(0, maxOutput - output.length);
    };
    const finish = () => {
      clearTimeout(limit);
      clearTimeout(hardEnd);
      signal.removeEventListener('abort', onAbort);
      if (group !== undefined) groups.delete(group);
    };

    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('error', (error) => {
      finish();
      reject(error);
    });
    // What it left in the background ends with it; until then it may still hold the pipes.
    child.once('exit', leave);
    child.once('close', (code) => {
      kill('SIGKILL');
      finish();
      resolve({ output, code, ended });
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
