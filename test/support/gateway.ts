/**
 * A whole gateway as its own process, with a home, a state directory and a port of its own; the real thing over real
 * sockets. Everything it writes lies below its home, which goes with it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { goodConnect, openRaw, type RawClient } from './raw-client.ts';

export const repository = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const launcher = join(repository, 'bin', 'openclaw.mjs');
/** Compiled code is kept between tests: without it each start takes three times as long. */
const codeCache = join(repository, 'node_modules', '.cache', 'openclaw-code');

export const token = 'test-token-0123456789abcdef0123456789abcdef';

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface CliResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  ms: number;
}

export interface GatewayOptions {
  /** The config file: an object, or its very text. `null`: none. Default: mode local with the test token. */
  config?: Record<string, unknown> | string | null;
  env?: Record<string, string | undefined>;
  /** Flags after `gateway`. `--port 0` is added unless a port is among them or in `env`. */
  args?: string[];
  /** A home to start on again. */
  home?: string;
  /** Do not wait for the listener: the start is expected to fail. */
  failing?: boolean;
  /** Wait for the `ready` line instead of the listener alone. Default true. */
  ready?: boolean;
}

export interface Gateway {
  readonly home: string;
  readonly stateDir: string;
  readonly configPath: string;
  readonly pid: number;
  readonly port: number;
  readonly url: string;
  readonly child: ChildProcess;
  /** Everything written to stdout and stderr so far. */
  stdout(): string;
  stderr(): string;
  /** The records of the log file. */
  log(): Record<string, unknown>[];
  /** Resolves as soon as stdout and stderr together contain the text. */
  printed(text: string | RegExp, ms?: number): Promise<void>;
  exited: Promise<Exit>;
  /** A raw connection, not introduced yet. */
  raw(options?: { headers?: Record<string, string>; path?: string }): Promise<RawClient>;
  /** A connection that said hello. */
  connect(more?: Record<string, unknown>): Promise<RawClient>;
  /** The command line against this gateway, as a process of its own. */
  cli(args: string[], more?: { env?: Record<string, string | undefined>; input?: string; timeoutMs?: number }): Promise<CliResult>;
  signal(name: NodeJS.Signals): void;
  /** SIGTERM and its end. The home stays. */
  stop(): Promise<Exit>;
  kill(): Promise<Exit>;
  /** Ends whatever is left and removes the home. */
  close(): Promise<void>;
  /** A new process on the same home. */
  again(more?: GatewayOptions): Promise<Gateway>;
}

export const temporaryHome = () => mkdtempSync(join(tmpdir(), 'openclaw-home-'));

export const defaultConfig = { gateway: { mode: 'local', auth: { mode: 'token', token } }, commands: { restart: true } };

/** Environment of a process that must not see anything of the machine it runs on. */
export function cleanEnv(home: string, more: Record<string, string | undefined> = {}): Record<string, string> {
  mkdirSync(join(home, 'tmp'), { recursive: true });
  const env: Record<string, string | undefined> = {
    PATH: process.env['PATH'],
    HOME: home,
    TMPDIR: join(home, 'tmp'),
    OPENCLAW_TEST: '1',
    // No server of the developer's own machine is asked for models.
    OPENCLAW_TEST_MODEL_PORTS: ',',
    OPENCLAW_COMPILE_CACHE: codeCache,
    ...more,
  };
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

export async function startGateway(options: GatewayOptions = {}): Promise<Gateway> {
  const home = options.home ?? temporaryHome();
  const env = cleanEnv(home, options.env);
  const stateDir = env['OPENCLAW_STATE_DIR'] ?? join(home, '.openclaw');
  const configPath = env['OPENCLAW_CONFIG_PATH'] ?? join(stateDir, 'openclaw.json');
  const config = options.config === undefined ? (existsSync(configPath) ? undefined : defaultConfig) : options.config;
  if (config !== undefined && config !== null) {
    mkdirSync(dirname(configPath), { recursive: true, mode: 0o700 });
    writeFileSync(configPath, typeof config === 'string' ? config : JSON.stringify(config), { mode: 0o600 });
  }
  const args = options.args ?? [];
  const needsPort = !args.includes('--port') && env['OPENCLAW_GATEWAY_PORT'] === undefined && options.failing !== true;
  const child = spawn(process.execPath, [launcher, 'gateway', ...(needsPort ? ['--port', '0'] : []), ...args], {
    env,
    cwd: home,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const watched = watchOutput(child);
  const exited = new Promise<Exit>((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  let port = 0;
  if (options.failing !== true) {
    const ended = exited.then(({ code }) => {
      throw new Error(`the gateway ended with ${code} before it was ready:\n${watched.stdout()}${watched.stderr()}`);
    });
    await Promise.race([watched.printed(options.ready === false ? /listening on ws:/ : /\] ready/, 30_000), ended]).catch(
      (error: unknown) => {
        // Nobody else knows of it: left alone it would hold its port for ever.
        child.kill('SIGKILL');
        throw error;
      },
    );
    port = Number(/listening on ws:\/\/[^\s]*?:(\d+)/.exec(watched.stdout())?.[1]);
  }
  const url = `ws://127.0.0.1:${port}`;
  const gateway: Gateway = {
    home,
    stateDir,
    configPath,
    pid: child.pid as number,
    port,
    url,
    child,
    ...watched,
    exited,
    log() {
      const path = findLog(home);
      if (path === undefined) return [];
      const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
      return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    raw: (more) => openRaw(url, more),
    async connect(more) {
      const client = await openRaw(url);
      const answer = await client.hello(goodConnect(more));
      if (!answer.ok) throw new Error(`refused: ${JSON.stringify(answer.error)}`);
      return client;
    },
    cli: (argv, more = {}) =>
      runCli(argv, { home, env: { ...options.env, OPENCLAW_GATEWAY_PORT: String(port), ...more.env }, ...pick(more) }),
    signal: (name) => void child.kill(name),
    async stop() {
      child.kill('SIGTERM');
      return exited;
    },
    async kill() {
      child.kill('SIGKILL');
      return exited;
    },
    async close() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), 7_000);
        await exited;
        clearTimeout(timer);
      }
      rmSync(home, { recursive: true, force: true, maxRetries: 3 });
    },
    again: (more) => startGateway({ ...options, ...more, home }),
  };
  return gateway;
}

const pick = ({ input, timeoutMs }: { input?: string; timeoutMs?: number }) => ({
  ...(input === undefined ? {} : { input }),
  ...(timeoutMs === undefined ? {} : { timeoutMs }),
});

/** The newest daily log below the home. */
function findLog(home: string): string | undefined {
  const folder = join(home, 'tmp', 'openclaw');
  const day = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
  const path = join(folder, `openclaw-${day}.log`);
  return existsSync(path) ? path : undefined;
}

/** Runs the command line once, as a person would, and collects what it said. */
export function runCli(
  args: string[],
  {
    home,
    env = {},
    input,
    timeoutMs = 30_000,
  }: { home: string; env?: Record<string, string | undefined>; input?: string; timeoutMs?: number },
): Promise<CliResult> {
  const from = performance.now();
  const child = spawn(process.execPath, [launcher, ...args], { env: cleanEnv(home, env), cwd: home, stdio: ['pipe', 'pipe', 'pipe'] });
  const { stdout, stderr } = watchOutput(child);
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  return new Promise((resolve) =>
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout: stdout(), stderr: stderr(), ms: performance.now() - from });
    }),
  );
}

/** Collects what a child prints and lets a test wait for a line of it. */
export function watchOutput(child: ChildProcess) {
  let out = '';
  let err = '';
  const waiting = new Set<() => void>();
  const look = () => {
    for (const check of waiting) check();
  };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    look();
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    err += text;
    look();
  });
  return {
    stdout: () => out,
    stderr: () => err,
    printed: (text: string | RegExp, ms = 15_000) =>
      new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(check);
          reject(new Error(`never printed ${String(text)}; what was printed:\n${out}${err}`));
        }, ms);
        const check = () => {
          const all = out + err;
          if (typeof text === 'string' ? !all.includes(text) : !text.test(all)) return;
          clearTimeout(timer);
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}
