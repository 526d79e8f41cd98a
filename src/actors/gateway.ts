/**
 * Composes one gateway: builds what lives as long as the process (log, lock, listener, recorder), hands the tree table to
 * the root machine and waits for its end. Returns the exit code; ends nothing itself but what it started.
 */
import { inspect } from 'node:util';
import { type AnyActorRef, createActor } from 'xstate';
import { root as rootMachine, restartExpectedMs, type RootEvent, type RootOutput } from '../machines/root.ts';
import type { GatewayOptions } from '../protocol/config/options.ts';
import { FatalError } from '../protocol/errors.ts';
import { catchStrayFaults } from './faults.ts';
import { limits } from '../protocol/limits.ts';
import { fromIo, pathOf } from './io.ts';
import { listenerActor } from './hub/listener.ts';
import { createSwitchboard } from './hub/switchboard.ts';
import { createRecorder, stateOf } from './inspector/recorder.ts';
import { acquireLock } from './lock.ts';
import { createLog, type Level, type Log } from './log.ts';
import { Ports } from './ports.ts';
import { keepSecret } from './redact.ts';
import { type WarmThread, warmThread } from './store/thread.ts';
import type { SignalBox } from './signals.ts';
import type { PortTable } from './table.ts';
import { buildTree, type Gateway } from './tree.ts';
import { version } from './version.ts';

/** Whatever the machines wait for, this much past the budget a plain timer ends the process. */
const hardLimitGraceMs = 500;

/** @param warm the store's thread, when somebody has started it already. */
export async function startGateway(options: GatewayOptions, signals: SignalBox, warm: WarmThread = warmThread()): Promise<number> {
  const { env, config } = options;
  for (const secret of [options.auth.token, options.auth.password]) keepSecret(secret);
  const startedAt = Date.now() - performance.now();
  const clock = { now: () => Date.now(), random: () => Math.random() };
  const recorder = createRecorder({
    now: clock.now,
    onFailed: (actor, error) => log.child('supervisor').error({ actor, error }, 'an actor failed'),
    onTurn: () => gateway.onActorsTurned(),
  });
  let generation = 0;
  const log = openLog(options, () => generation);

  const shutdownMs = numberFrom(env['OPENCLAW_SHUTDOWN_TIMEOUT_MS'], 1_000, 60_000) ?? config.gateway.shutdownMs;
  const drainMs = numberFrom(env['OPENCLAW_RESTART_DRAIN_MS'], 0, 600_000) ?? config.gateway.drainMs;
  const listener = createSwitchboard();
  const restarts: number[] = [];

  const gateway: Gateway = {
    options,
    config: () => gateway.applied,
    applied: config,
    ports: new Ports<PortTable>(),
    env: clock,
    recorder,
    warm,
    log,
    startedAt,
    restarts,
    generation: () => generation,
    handshakeMs: handshakeMs(env),
    listener: () => listener,
    faults: [],
    onActorsTurned: () => {},
    root: () => root,
    onShutdown(handler) {
      const subscription = root.on('shutdown', ({ type: _type, ...payload }) => handler(payload));
      return () => subscription.unsubscribe();
    },
    retryAfterMs: () => (stateOf(root).startsWith('stopping') ? undefined : restartExpectedMs),
  };
  const table = buildTree(gateway);

  const machine = rootMachine.provide({
    actors: {
      preflight: fromIo(({ report }) => report({ type: 'preflight.passed' })),
      lock: lockActor(options),
      listener: listenerActor({
        port: options.port,
        hosts: options.hosts,
        settings: () => gateway.config().gateway,
        handshakeMs: gateway.handshakeMs,
        register: listener.register,
        onListening: (url, isFirst) => log.child('gateway').info({}, `listening on ${url}${isFirst ? ` (PID ${process.pid})` : ''}`),
        warn: (message) => log.child('gateway').warn({}, message),
      }),
      reread: table.reread,
    },
  });
  const root = createActor(machine, {
    input: {
      env: clock,
      limits: { drainMs, shutdownMs, openMs: 60_000, settleMs: 10_000 },
      tree: {
        core(next) {
          generation = next;
          return table.core();
        },
        edge: () => table.edge(),
      },
    },
    inspect: recorder.inspect,
    systemId: 'root',
    id: 'root',
  });

  const releaseFaults = catchStrayFaults((error, late) => {
    recorder.fault(late ?? 'unowned', error);
    if (late !== undefined) return log.error({ actor: late, error: describe(error) }, 'an error of an actor that had ended already');
    log.error({ error: describe(error) }, 'an error that no actor owns');
    gateway.faults = [...gateway.faults.slice(-9), { at: clock.now(), message: describe(error) }];
    root.send({ type: 'fault.unowned', message: 'unowned' });
    gateway.onActorsTurned();
  });
  root.on('part.abandoned', ({ part }) => {
    log.error({ code: 'shutdown-timeout', part, unfinished: unfinished(root, part) }, 'a part did not leave in its time and is abandoned');
  });
  signals.listen((name) => {
    log.child('gateway').info({ signal: name }, 'signal received');
    root.send({ type: 'signal.received', name, at: clock.now() });
  });
  watchPhases(root, { log, startedAt, shutdownMs, onChange: table.phaseChanged });

  const output = await new Promise<RootOutput>((resolve) => {
    root.subscribe({
      complete: () => resolve(root.getSnapshot().output ?? { exitCode: 0 }),
      error: (error) => {
        log.fatal({ code: 'intensity-exceeded', error: describe(error) }, 'the root itself failed');
        resolve({ exitCode: 70 });
      },
    });
    root.start();
  });
  releaseFaults();
  warm.cool();
  if (output.failure) {
    const { code, message, fix } = output.failure;
    log.fatal({ code, fix }, message);
  } else log.child('gateway').info({ exitCode: output.exitCode }, 'stopped');
  log.close();
  return output.exitCode;
}

function openLog({ config, env, verbose, profile }: GatewayOptions, generation: () => number): Log {
  const level = (env['OPENCLAW_LOG_LEVEL'] || config.logging.level) as Level;
  const consoleLevel = (env['OPENCLAW_CONSOLE_LEVEL'] || config.logging.consoleLevel) as Level;
  // Verbose shows debug records, or more when the file has more; the file itself stays as configured.
  const shown = verbose ? (level === 'trace' ? 'trace' : 'debug') : consoleLevel;
  const maxFileBytes = env['OPENCLAW_TEST'] === '1' ? numberFrom(env['OPENCLAW_TEST_LOG_BYTES'], 1_000, 2 ** 30) : undefined;
  return createLog({
    level,
    consoleLevel: shown,
    generation,
    ...(config.logging.file ? { file: config.logging.file } : {}),
    ...(profile === undefined ? {} : { profile }),
    ...(maxFileBytes === undefined ? {} : { maxFileBytes }),
  });
}

const lockActor = ({ stateDir, configPath, port, profile }: GatewayOptions) =>
  fromIo(({ run, report, signal }) => {
    let release: (() => void) | undefined;
    run(async () => {
      try {
        const lock = await acquireLock({
          stateDir,
          configPath,
          profile,
          signal,
          info: { pid: process.pid, startedAt: Date.now(), version, configPath, stateDir, port },
        });
        release = () => lock.release();
        if (signal.aborted) return lock.release();
        report({ type: 'lock.held' });
      } catch (error) {
        if (!(error instanceof FatalError)) throw error;
        const { code, exitCode, message, fix } = error;
        report({ type: 'boot.failed', failure: { code, exitCode, message, fix } });
      }
    });
    return () => release?.();
  });

/** One line per phase for the operator, and the hard end of a stop that does not end. */
function watchPhases(
  root: AnyActorRef & { send(event: RootEvent): void },
  { log, startedAt, shutdownMs, onChange }: { log: Log; startedAt: number; shutdownMs: number; onChange(): void },
): void {
  let last = '';
  let readyOnce = 0;
  root.subscribe(() => {
    const phase = stateOf(root).split('.')[0] ?? '';
    if (phase === last) return;
    last = phase;
    onChange();
    if (phase === 'running') {
      readyOnce += 1;
      if (readyOnce === 1) log.child('gateway').info({}, `log file ${log.file()}`);
      log.child('gateway').info({ ms: Math.round(Date.now() - startedAt) }, readyOnce === 1 ? 'ready' : 'ready again');
    } else if (phase !== 'preflight' && phase !== '') log.child('gateway').debug({ phase }, 'phase');
    if (phase === 'stopping') {
      setTimeout(() => {
        log.error({ code: 'shutdown-timeout', unfinished: unfinished(root) }, 'the stop took longer than allowed');
        log.flush();
        const { failure } = (root.getSnapshot() as { context: { failure?: { exitCode: number } } }).context;
        process.exit(failure?.exitCode ?? 0);
      }, shutdownMs + hardLimitGraceMs).unref();
    }
  });
}

/** Names of the actors that are still there, innermost last. @param part only those below this child of the root. */
function unfinished(root: AnyActorRef, part?: string): string[] {
  const { children = {} } = root.getSnapshot() as { children?: Record<string, AnyActorRef> };
  return Object.values(children)
    .filter(({ id }) => part === undefined || id.startsWith(`${part}@`))
    .flatMap((child) => [pathOf(child), ...unfinished(child)])
    .slice(0, 20);
}

function handshakeMs(env: Record<string, string | undefined>): number {
  return (
    (env['OPENCLAW_TEST'] === '1' ? numberFrom(env['OPENCLAW_TEST_HANDSHAKE_TIMEOUT_MS'], 10, 60_000) : undefined) ?? limits.handshakeMs
  );
}

function numberFrom(text: string | undefined, min: number, max: number): number | undefined {
  const value = Number(text);
  return text === undefined || text === '' || !Number.isInteger(value) ? undefined : Math.min(max, Math.max(min, value));
}

/** Name, words and where: enough to find it, nothing of what it was working on. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return inspect(error, { depth: 0 }).slice(0, 200);
  const where = error.stack?.split('\n')[1]?.trim() ?? '';
  const cause = error.cause instanceof Error ? ` (because: ${error.cause.message})` : '';
  return `${error.name}: ${error.message}${cause} ${where}`.slice(0, 600);
}
