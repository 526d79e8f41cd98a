/** What a command is, and how it says that it was called wrongly. */
import type { FatalError } from '../protocol/errors.ts';
import type { GatewayOptions } from '../protocol/config/options.ts';
import type { Io } from './io.ts';

export interface OptionSpec {
  type: 'string' | 'boolean';
  short?: string;
  default?: string | boolean;
  /** For the help. */
  help: string;
  /** Name of the value in the help. */
  value?: string;
}

export type OptionValues = Record<string, string | boolean | undefined>;

export interface CommandCall {
  options: OptionValues;
  positionals: string[];
  io: Io;
  hooks: Hooks;
  profile: string | undefined;
}

/** What a command needs to know which instance it is about. */
export type Call = Pick<CommandCall, 'options' | 'io' | 'profile'>;

/** What `main.ts` hands in: the command line itself never sees the actors. */
export interface Hooks {
  startGateway(options: GatewayOptions): Promise<number>;
  /** Writes the reason a gateway did not start to its log, where it is looked for afterwards. */
  noteFatal(error: FatalError, profile: string | undefined): Promise<void>;
}

export interface Command {
  path: string[];
  summary: string;
  usage: string;
  options: Record<string, OptionSpec>;
  examples?: string[];
  /** `own`: the command decides what Ctrl-C means. Otherwise it ends the command at once. */
  interrupt?: 'own';
  /** `own`: losing the reader of stdout does not end this command. */
  brokenPipe?: 'own';
  /** Says that it failed in its own way and returns the exit code; otherwise the common text is printed. */
  fail?(error: unknown, call: CommandCall): number | undefined;
  run(call: CommandCall): Promise<number>;
}

export const defineCommand = (command: Command): Command => command;

/** The command was called wrongly: exit 2, with the way to call it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Something the operator can mend; `fix` says how. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly fix: string;
  readonly exitCode: number;
  constructor(message: string, fix: string, exitCode = 1) {
    super(message);
    this.fix = fix;
    this.exitCode = exitCode;
  }
}

/** Flags of every command that asks a gateway. */
export const clientOptions = {
  url: { type: 'string', help: 'Address of the gateway; default: the one configured here', value: '<ws-url>' },
  token: { type: 'string', help: 'Token; better: OPENCLAW_GATEWAY_TOKEN, which no process list shows', value: '<token>' },
  password: { type: 'string', help: 'Password; better: OPENCLAW_GATEWAY_PASSWORD', value: '<password>' },
  timeout: { type: 'string', help: 'Milliseconds to wait, default 10000', value: '<ms>' },
  json: { type: 'boolean', help: 'Print one JSON document' },
} as const satisfies Record<string, OptionSpec>;

export function integerOption(name: string, text: string | boolean | undefined, range: { min: number; max: number }): number | undefined {
  if (text === undefined || typeof text === 'boolean') return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || text.trim() === '' || value < range.min || value > range.max) {
    throw new UsageError(`--${name} must be a whole number from ${range.min} to ${range.max}, not '${text.slice(0, 32)}'`);
  }
  return value;
}

export const textOption = (value: string | boolean | undefined): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
