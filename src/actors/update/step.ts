/** One program of an update: no shell, no terminal, a group of its own, and an end at the deadline. */
import { spawn } from 'node:child_process';
import { redactText } from '../redact.ts';
import { type CommandGroups, killGroup } from '../runs/tools/command-groups.ts';

/** As clients know it. */
export interface Step {
  name: string;
  command: string;
  cwd: string;
  durationMs: number;
  /** `null`: it was ended, or never began. */
  exitCode: number | null;
  stdoutTail?: string;
  stderrTail?: string;
}

export interface StepPorts {
  env: NodeJS.ProcessEnv;
  groups: CommandGroups;
  /** Aborted at the deadline of the whole update, and when the gateway wants to end. */
  signal: AbortSignal;
}

const killAfterMs = 2_000;
const maxOutput = 200_000;
const maxTail = 8_000;

export interface Finished {
  step: Step;
  ok: boolean;
  /** What it printed, without the blanks around it. */
  output: string;
}

export function runStep(
  name: string,
  argv: readonly [program: string, ...args: string[]],
  cwd: string,
  ports: StepPorts,
): Promise<Finished> {
  const { env, groups, signal } = ports;
  const from = performance.now();
  const { promise, resolve } = Promise.withResolvers<Finished>();
  let stdout = '';
  let stderr = '';
  const finish = (exitCode: number | null) => {
    const tails = { stdoutTail: tailOf(stdout), stderrTail: tailOf(stderr) };
    const step: Step = { name, command: argv.join(' '), cwd, durationMs: Math.round(performance.now() - from), exitCode };
    for (const key of ['stdoutTail', 'stderrTail'] as const) if (tails[key] !== '') step[key] = tails[key];
    resolve({ step, ok: exitCode === 0, output: stdout.trim() });
  };
  if (signal.aborted) {
    stderr = reasonOf(signal);
    finish(null);
    return promise;
  }
  const [program, ...args] = argv;
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const group = child.pid;
  if (group !== undefined) groups.add(group);
  let hardEnd: NodeJS.Timeout | undefined;
  const kill = (how: NodeJS.Signals) => {
    if (group !== undefined) killGroup(group, how);
  };
  const leave = () => {
    kill('SIGTERM');
    hardEnd ??= setTimeout(() => kill('SIGKILL'), killAfterMs);
  };
  const onAbort = () => {
    stderr += `\n${reasonOf(signal)}`;
    leave();
  };
  const settle = (exitCode: number | null) => {
    clearTimeout(hardEnd);
    signal.removeEventListener('abort', onAbort);
    kill('SIGKILL');
    if (group !== undefined) groups.delete(group);
    finish(signal.aborted ? null : exitCode);
  };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout = (stdout + chunk).slice(-maxOutput)));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr = (stderr + chunk).slice(-maxOutput)));
  child.once('error', (error: NodeJS.ErrnoException) => {
    stderr += `cannot be started (${error.code ?? error.message})`;
    if (group === undefined) settle(null);
  });
  // What it left in the background may still hold the pipes, and ends with it.
  child.once('exit', leave);
  child.once('close', (code) => settle(code));
  signal.addEventListener('abort', onAbort, { once: true });
  return promise;
}

const reasonOf = (signal: AbortSignal) => (signal.reason === 'stopped' ? '[ended with the gateway]' : '[ended at the deadline]');
const tailOf = (text: string) => redactText(text.trim()).slice(-maxTail);
