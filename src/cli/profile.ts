/** Flags in front of the command: which instance is meant, and the few that need no command (cli.md 2). */
import { UsageError } from './command.ts';

export interface Front {
  /** Lower-cased; `undefined` for the default instance. */
  profile: string | undefined;
  isVersion: boolean;
  isHelp: boolean;
  rest: string[];
}

const namePattern = /^[a-z0-9][a-z0-9_-]{0,63}$/;
/** Labels of services that exist already. */
const reserved = new Set(['gateway', 'node']);

/** Only what stands before the first word belongs here: `openclaw gateway --dev` is a flag of the command. */
export function readFront(argv: readonly string[], env: Record<string, string | undefined>): Front {
  const rest = [...argv];
  let named: string | undefined;
  let isDev = false;
  const front = { isVersion: false, isHelp: false };
  while (rest[0]?.startsWith('-') && !front.isVersion && !front.isHelp) {
    const word = rest[0];
    if (word === '--dev') isDev = true;
    else if (word === '--profile') {
      rest.shift();
      named = rest[0] ?? '-';
    } else if (word.startsWith('--profile=')) named = word.slice('--profile='.length) || '-';
    else if (word === '--version' || word === '-V' || word === '-v') front.isVersion = true;
    else if (word === '--help' || word === '-h') front.isHelp = true;
    else if (word !== '--no-color') break;
    rest.shift();
  }
  if (isDev && named !== undefined) throw new UsageError('--dev and --profile exclude each other');
  return { ...front, rest, profile: isDev ? 'dev' : nameOf(named ?? env['OPENCLAW_PROFILE'] ?? '') };
}

/** Two names that differ only in case would be one folder on many disks. */
function nameOf(text: string): string | undefined {
  const name = text.toLowerCase();
  if (name === '' || name === 'default') return undefined;
  if (!namePattern.test(name)) throw new UsageError('a profile needs a name of letters, digits, - and _, at most 64 of them');
  if (reserved.has(name)) throw new UsageError(`'${name}' cannot be the name of a profile: choose another one`);
  return name;
}
