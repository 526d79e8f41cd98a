/** Words to a command: finds it, reads its flags, explains it, and guesses what was meant when it cannot be found. */
import { parseArgs } from 'node:util';
import { type Command, type OptionSpec, type OptionValues, UsageError } from './command.ts';
import { type CommandRow, commands } from './commands/index.ts';
import { withProfile } from './errors.ts';
import type { Io } from './io.ts';
import { table } from './table.ts';

const commonOptions = {
  help: { type: 'boolean', short: 'h', help: 'Show this help' },
  'no-color': { type: 'boolean', help: 'No colours' },
} as const satisfies Record<string, OptionSpec>;

/** The command whose path is the longest beginning of these words. */
export function findCommand(words: readonly string[]): { row: CommandRow; rest: string[] } | undefined {
  const matches = commands.filter(({ path }) => path.every((word, index) => words[index] === word));
  const row = matches.sort((a, b) => b.path.length - a.path.length)[0];
  return row && { row, rest: words.slice(row.path.length) };
}

export function unknownCommand(words: readonly string[]): UsageError {
  const [first = ''] = words;
  if (first.startsWith('-')) return new UsageError(`unknown flag '${first.slice(0, 40)}'; see: openclaw --help`);
  const group = commands.filter(({ path }) => path[0] === first && path.length > 1).map(({ path }) => path.join(' '));
  if (group.length > 0) return new UsageError(`openclaw ${first} needs one of: ${group.map((path) => `openclaw ${path}`).join(', ')}`);
  const near = nearest(
    first,
    commands.map(({ path }) => path[0] as string),
  );
  return new UsageError(`unknown command '${first.slice(0, 40)}'${near ? `, did you mean openclaw ${near}?` : ''} See: openclaw --help`);
}

export const wantsHelp = (args: readonly string[]): boolean =>
  args.slice(0, endOfFlags(args)).some((word) => word === '--help' || word === '-h');

const endOfFlags = (args: readonly string[]) => (args.includes('--') ? args.indexOf('--') : args.length);

export function parseFlags(command: Command, args: string[]): { options: OptionValues; positionals: string[] } {
  const specs: Record<string, OptionSpec> = { ...command.options, ...commonOptions };
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, { type, short, default: value }]) => [
      name,
      { type, ...(short ? { short } : {}), ...(value === undefined ? {} : { default: value }) },
    ]),
  );
  try {
    const { values, positionals } = parseArgs({ args: joinNegative(args, specs), options, allowPositionals: true, strict: true });
    return { options: values, positionals };
  } catch (error) {
    const message = ((error as Error).message.split('. ')[0] ?? 'wrong flags').replace(/^Unknown option/, 'unknown flag');
    const unknown = /unknown flag '--?([^']+)'/.exec(message)?.[1];
    const near = unknown && nearest(unknown, Object.keys(specs));
    throw new UsageError(`${message}${near ? `, did you mean --${near}?` : '.'} Usage: ${command.usage}`);
  }
}

/** Chat ids of groups are negative; `--target -100123` means the number, not a flag. */
function joinNegative(args: string[], specs: Record<string, OptionSpec>): string[] {
  const result: string[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const word = args[index] as string;
    const next = args[index + 1];
    const takesValue = Object.entries(specs).some(
      ([name, { type, short }]) => type === 'string' && (word === `--${name}` || (short !== undefined && word === `-${short}`)),
    );
    if (takesValue && next !== undefined && /^-\d+$/.test(next)) {
      result.push(word.startsWith('--') ? `${word}=${next}` : `${word}${next}`);
      index += 1;
    } else result.push(word);
  }
  return result;
}

/**
 * @param path as it was typed: some commands have two names.
 * @param profile repeated in what is suggested: the reader is about to copy it.
 */
export function helpOf(command: Command, io: Io, { path, profile }: { path: readonly string[]; profile: string | undefined }): string {
  const usage = command.usage.replace(`openclaw ${command.path.join(' ')}`, `openclaw ${path.join(' ')}`);
  const specs: Record<string, OptionSpec> = { ...command.options, ...commonOptions };
  const rows = Object.entries(specs).map(([name, { short, value, help }]) => [
    io.paint(`${short ? `-${short}, ` : '    '}--${name}${value ? ` ${value}` : ''}`, 'cyan'),
    help,
  ]);
  return [
    command.summary,
    '',
    `${io.paint('Usage', 'bold')}  ${withProfile(usage, profile)}`,
    '',
    ...table(rows).map((line) => `  ${line}`),
    ...(command.examples ? ['', ...command.examples.map((example) => `  ${io.paint(`$ ${withProfile(example, profile)}`, 'dim')}`)] : []),
  ].join('\n');
}

export function overview(io: Io): string {
  return [
    `${io.paint('openclaw', 'bold')}  the gateway of your personal assistant`,
    '',
    `${io.paint('Usage', 'bold')}  openclaw [--dev | --profile <name>] [--no-color] <command> [flags]`,
    '',
    ...table(commands.map(({ path, summary }) => [io.paint(path.join(' '), 'cyan'), summary])).map((line) => `  ${line}`),
    '',
    'openclaw <command> --help shows the flags of a command; openclaw --version the version.',
  ].join('\n');
}

/** The candidate that differs by the fewest letters, when it differs by few. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const scored = candidates.map((candidate) => [candidate, distance(word, candidate)] as const).sort((a, b) => a[1] - b[1]);
  return scored[0] && scored[0][1] <= 2 ? scored[0][0] : undefined;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1)
      next[j] = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length] as number;
}
