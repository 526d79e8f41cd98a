/** How a failed command says so: one line what failed, then what helps; with `--json` one document (cli.md 1). */
import { UsageError } from './command.ts';
import type { Io } from './io.ts';
import type { Target } from './target.ts';

interface Failure {
  name?: string;
  message: string;
  /** Close code of a connection, or the name of a reason. */
  code?: string | number;
  reason?: string;
  exitCode?: number;
  fix?: string;
  error?: { code: string; message: string; details?: unknown; retryable?: boolean; retryAfterMs?: number };
  payload?: unknown;
  target?: Target;
}

export interface ErrorShape {
  code: string;
  message: string;
  details?: unknown;
  retryable?: boolean;
  retryAfterMs?: number;
}

export interface Report {
  shape: ErrorShape;
  /** `name: text`, in the order of the page. */
  lines: string[];
  exitCode: number;
}

/** @param profile repeated in every command that is suggested, or the advice would be about another instance. */
export function describeFailure(error: unknown, profile: string | undefined): Report {
  const failure = error as Failure;
  const isUsage = error instanceof UsageError;
  return {
    shape: shapeOf(failure, isUsage),
    lines: linesOf(failure).map((line) => withProfile(line, profile)),
    exitCode: isUsage ? 2 : (failure.exitCode ?? 1),
  };
}

export function reportError(error: unknown, io: Io, options: { json: boolean; verbose: boolean; profile?: string | undefined }): number {
  const { shape, lines, exitCode } = describeFailure(error, options.profile);
  // The end of a run keeps its own fields beside the error, so that its id is not lost.
  const beside = (error as Failure).payload;
  if (options.json) io.json({ ...(typeof beside === 'object' ? beside : {}), ok: false, error: shape });
  const isWire = (error as Failure).error !== undefined;
  io.note(`${io.paint('error:', 'red')} ${isWire ? `${shape.code}: ` : ''}${withProfile(shape.message, options.profile)}`);
  for (const line of lines) io.note(`  ${line}`);
  if (options.verbose && error instanceof Error && error.stack) io.note(error.stack);
  return exitCode;
}

function shapeOf(failure: Failure, isUsage: boolean): ErrorShape {
  if (failure.error) return failure.error;
  const code = isUsage
    ? 'USAGE'
    : failure.name === 'ConnectionError'
      ? 'UNAVAILABLE'
      : typeof failure.code === 'string'
        ? failure.code
        : 'FAILED';
  return { code, message: failure.message?.split('\n')[0] ?? 'failed' };
}

function linesOf({ name, code, reason, fix, target, error }: Failure): string[] {
  const lines: string[] = [];
  if (name === 'ConnectionError') {
    if (code) lines.push(`close code: ${code}`);
    if (code && reason) lines.push(`close reason: ${reason}`);
  } else if (name === 'FatalError') lines.push(`code: ${code}`);
  if (target) {
    lines.push(
      `target: ${target.shownUrl} (${target.urlSource})`,
      `config: ${target.configPath}${target.configProblem ? ` (${target.configProblem})` : ''}`,
    );
    if (target.urlSource.startsWith('local')) lines.push(`bind: ${target.bind}`);
  }
  const advice = fix ?? adviceFor(name, code, error?.message);
  if (advice) lines.push(`fix: ${advice}`);
  return lines;
}

function adviceFor(name: string | undefined, code: string | number | undefined, refusal: string | undefined): string | undefined {
  if (name === 'ConnectionError' && code === 0) return 'start it with: openclaw gateway (first time: openclaw setup)';
  if (refusal !== undefined && /unauthorized|device identity required/.test(refusal))
    return 'set OPENCLAW_GATEWAY_TOKEN to the token of that gateway (gateway.auth.token in its config)';
  return undefined;
}

/** Turns `openclaw setup` into `openclaw --profile rescue setup`. */
export function withProfile(text: string, profile: string | undefined): string {
  if (profile === undefined) return text;
  return text.replace(/\bopenclaw (?=[a-z])/g, `openclaw ${profile === 'dev' ? '--dev' : `--profile ${profile}`} `);
}
