/**
 * The one file that sees everybody. Signal handlers come first: Node opens its debugger on a SIGUSR1 that nobody handles,
 * and a stop requested during the start must not be forgotten. Everything else is imported afterwards, when it is needed.
 */
import type { SignalBox } from './actors/signals.ts';

/** Subcommands of `gateway` that only ask a running one; they keep the terminal's own Ctrl-C. */
const askingSubcommands = new Set(['call', 'health', 'status', 'probe', 'discover', 'install', 'uninstall', 'start', 'stop', 'restart']);

function isGatewayRun(args: readonly string[]): boolean {
  const at = args.indexOf('gateway');
  if (at < 0 || args.slice(0, at).some((word) => !word.startsWith('-') && args[args.indexOf(word) - 1] !== '--profile')) return false;
  if (args.includes('--help') || args.includes('-h')) return false;
  const next = args[at + 1];
  return next === undefined || !askingSubcommands.has(next);
}

/** @returns whether a signal had opened it. Somebody who asked for it by a flag keeps it. */
function shutDebugger(): boolean {
  const isWanted = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].some((text) => text.includes('--inspect'));
  // Not imported: it loads the worker threads, and each command would wait for them.
  const inspector = process.getBuiltinModule('node:inspector');
  if (isWanted || inspector.url() === undefined) return false;
  inspector.close();
  return true;
}

type SignalName = Parameters<Parameters<SignalBox['listen']>[0]>[0];

/** What the launcher heard before this file was there. */
interface Early {
  signals: SignalName[];
  /** It listens no longer. Called when somebody else does: for a moment without a listener Node would open its debugger. */
  stop(): void;
}

function installSignals(): SignalBox {
  const launcher = (globalThis as { openclawEarly?: Early }).openclawEarly;
  const early = launcher?.signals ?? [];
  let handler: ((name: SignalName) => void) | undefined;
  const take = (name: SignalName) => {
    if (handler) handler(name);
    else if (early.length < 100) early.push(name);
  };
  process.on('SIGTERM', () => take('SIGTERM'));
  process.on('SIGINT', () => take('SIGINT'));
  process.on('SIGUSR1', () => take('SIGUSR1'));
  launcher?.stop();
  process.on('SIGHUP', () => {
    // Without a terminal at the other end a hang-up means nothing.
    if (process.stdin.isTTY) take('SIGHUP');
  });
  process.on('SIGUSR2', () => {});
  process.on('SIGPIPE', () => {});
  // Before the launcher's first line Node answers a SIGUSR1 with its debugger, a door for everybody on this machine. It is
  // shut, and the signal counts as what was meant. Node opens it at once and again in the first turn of its event loop;
  // the later looks are for a machine so busy that Node's own thread for this comes late.
  let isNoted = early.length > 0;
  const look = () => {
    if (!shutDebugger() || isNoted) return;
    isNoted = true;
    take('SIGUSR1');
  };
  look();
  setImmediate(look).unref();
  for (const ms of [100, 1_000]) setTimeout(look, ms).unref();
  return {
    listen(next) {
      handler = next;
      for (const name of early.splice(0)) next(name);
    },
  };
}

const args = process.argv.slice(2);
const signals = isGatewayRun(args) ? installSignals() : undefined;
// Beside everything that follows; what comes out of a wrong flag is an exit, which ends it too.
const warm = signals && (await import('./actors/store/thread.ts')).warmThread();

const { runCli } = await import('./cli/main.ts');
const code = await runCli(args, {
  noteFatal: async ({ code: reason, message, fix }, profile) => {
    const { createLog } = await import('./actors/log.ts');
    // The command itself tells the terminal.
    const log = createLog({ level: 'info', consoleLevel: 'silent', generation: () => 0, ...(profile === undefined ? {} : { profile }) });
    log.child('gateway').fatal({ code: reason, fix }, message);
    log.close();
  },
  startGateway: async (options) => {
    const { startGateway } = await import('./actors/gateway.ts');
    return startGateway(options, signals ?? installSignals(), warm);
  },
});
// A gateway that has stopped leaves nothing to wait for; what still holds the loop is a leak and must not hold the exit. And a
// command that has said all it had to say need not wait until the gateway has said goodbye.
process.exitCode = code;
if (signals || process.stdout.writableLength + process.stderr.writableLength === 0) process.exit(code);
