/** The command line: finds the command, reads its flags, runs it. Each command is loaded only when it is called. */
import type { Command, CommandCall, Hooks } from './command.ts';
import { reportError } from './errors.ts';
import { createIo, type World } from './io.ts';
import { readFront } from './profile.ts';
import { findCommand, helpOf, overview, parseFlags, unknownCommand, wantsHelp } from './program.ts';
import { cliVersion } from './version.ts';

export type { Hooks } from './command.ts';

const ownProcess: World = { stdout: process.stdout, stderr: process.stderr, env: process.env };

/** @returns the exit code. */
export async function runCli(argv: string[], hooks: Hooks, world: World = ownProcess): Promise<number> {
  const io = createIo(world, { noColor: argv.includes('--no-color') });
  let profile: string | undefined;
  try {
    const front = readFront(argv, world.env);
    ({ profile } = front);
    if (front.isVersion || front.rest[0] === 'version') {
      io.print(cliVersion());
      return 0;
    }
    if (front.isHelp || front.rest.length === 0 || front.rest[0] === 'help') {
      io.print(overview(io));
      return 0;
    }
    const found = findCommand(front.rest);
    if (found === undefined) {
      // The help of a group of commands is the list of all.
      if (!wantsHelp(front.rest)) throw unknownCommand(front.rest);
      io.print(overview(io));
      return 0;
    }
    const command = await found.row.load();
    if (wantsHelp(found.rest)) {
      io.print(helpOf(command, io, { path: found.row.path, profile }));
      return 0;
    }
    return await runCommand(command, { ...parseFlags(command, found.rest), io, hooks, profile });
  } catch (error) {
    return reportError(error, io, { json: argv.includes('--json'), verbose: argv.includes('--verbose'), profile });
  }
}

async function runCommand(command: Command, call: CommandCall): Promise<number> {
  const release = watchProcess(command);
  try {
    return await command.run(call);
  } catch (error) {
    const code = command.fail?.(error, call);
    if (code === undefined) throw error;
    return code;
  } finally {
    release();
  }
}

/** Ctrl-C ends a waiting command, and so does a reader that has seen enough (`| head`), which is no error. */
function watchProcess(command: Command): () => void {
  const onInterrupt = () => process.exit(130);
  const onPipe = (error: NodeJS.ErrnoException) => {
    // A gateway serves on without a terminal: its log is a file.
    if (error.code === 'EPIPE' && command.brokenPipe !== 'own') process.exit(0);
  };
  if (command.interrupt !== 'own') process.on('SIGINT', onInterrupt);
  process.stdout.on('error', onPipe);
  return () => {
    process.off('SIGINT', onInterrupt);
    // The last line may still be on its way when the command has returned, so the pipe stays watched.
    if (process.stdout.writableLength === 0) process.stdout.off('error', onPipe);
  };
}
