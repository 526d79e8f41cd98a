/** Starts the servers that are measured, each with a home of its own, and reads what the kernel says about them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, '..');
export const launcher = join(root, 'bin', 'openclaw.mjs');
export const token = 'bench-token-0123456789abcdef0123456789abcdef';
/** Shared by all starts: the second start of a release finds its code compiled. */
const codeCache = join(root, 'node_modules', '.cache', 'openclaw-bench-code');

export interface Server {
  name: string;
  pid: number;
  port: number;
  url: string;
  home: string;
  child: ChildProcess;
  stop(): Promise<number>;
}

export type Build = 'bundle' | 'source';

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export function environment(home: string, build: Build): Record<string, string> {
  mkdirSync(join(home, 'tmp'), { recursive: true });
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: home,
    TMPDIR: join(home, 'tmp'),
    OPENCLAW_COMPILE_CACHE: codeCache,
    ...(build === 'bundle' ? { OPENCLAW_USE_DIST: '1' } : {}),
  };
}

export function makeHome(config: object = {}): string {
  const home = mkdtempSync(join(tmpdir(), 'openclaw-bench-'));
  mkdirSync(join(home, '.openclaw'), { recursive: true, mode: 0o700 });
  const document = { gateway: { mode: 'local', auth: { mode: 'token', token } }, commands: { restart: true }, ...config };
  writeFileSync(join(home, '.openclaw', 'openclaw.json'), JSON.stringify(document), { mode: 0o600 });
  return home;
}

/** @returns as soon as the process exists; `ready` resolves with the `ready` line. */
export async function startGateway({ build = 'bundle' as Build, config = {}, wait = true } = {}): Promise<Server> {
  const home = makeHome(config);
  const port = await freePort();
  const child = spawn(process.execPath, [launcher, 'gateway', '--port', String(port)], {
    env: environment(home, build),
    cwd: home,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const server = serverOf('gateway', child, port, home);
  if (wait) await printed(child, /\] ready/);
  return server;
}

export async function startBare(): Promise<Server> {
  const home = mkdtempSync(join(tmpdir(), 'openclaw-bench-'));
  const port = await freePort();
  const child = spawn(process.execPath, [join(here, 'bare-server.ts'), String(port)], { cwd: home, stdio: ['ignore', 'pipe', 'pipe'] });
  await printed(child, /listening/);
  return serverOf('bare', child, port, home);
}

function serverOf(name: string, child: ChildProcess, port: number, home: string): Server {
  const ended = new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? -1)));
  // Whatever is printed has to be read, or the child waits for us one day.
  child.stdout?.resume();
  child.stderr?.on('data', (text: Buffer) => process.env['BENCH_VERBOSE'] && process.stderr.write(text));
  return {
    name,
    child,
    pid: child.pid as number,
    port,
    home,
    url: `ws://127.0.0.1:${port}`,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const code = await ended;
      rmSync(home, { recursive: true, force: true, maxRetries: 3 });
      return code;
    },
  };
}

export function printed(child: ChildProcess, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (chunk: Buffer) => {
      text += chunk.toString();
      if (pattern.test(text)) done();
    };
    const onExit = (code: number | null) => reject(new Error(`ended with ${code} before it printed ${String(pattern)}: ${text}`));
    const done = () => {
      child.stdout?.off('data', onData);
      child.off('exit', onExit);
      resolve();
    };
    child.stdout?.on('data', onData);
    child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.once('exit', onExit);
  });
}

const ticksPerSecond = 100;

/** Processor time of a process and its threads so far, in milliseconds; the kernel counts in steps of 10. */
export function cpuMs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / ticksPerSecond;
}

/** Resident memory of a process and its children, in MB. */
export function residentMb(pid: number): number {
  const own = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  return own + childrenOf(pid).reduce((sum, child) => sum + residentMb(child), 0);
}

function childrenOf(pid: number): number[] {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks.flatMap((task) => {
    try {
      return readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    } catch {
      return [];
    }
  });
}

/** A helper process that does something and answers with one JSON value on its IPC channel. */
export function work<T>(
  mode: string,
  options: object,
): { result: Promise<T>; child: ChildProcess; say(message: string): void; heard(message: string): Promise<void> } {
  const child = spawn(process.execPath, [join(here, 'load.ts'), mode, JSON.stringify(options)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const said = new Set<string>();
  const waiting = new Map<string, () => void>();
  const result = new Promise<T>((resolve, reject) => {
    child.on('message', (message: { say?: string; result?: T }) => {
      if (message.say !== undefined) {
        said.add(message.say);
        waiting.get(message.say)?.();
      } else resolve(message.result as T);
    });
    child.once('exit', (code) => reject(new Error(`load ${mode} ended with ${code}`)));
  });
  // Nobody may be waiting yet when it fails.
  result.catch(() => {});
  return {
    child,
    result,
    say: (message) => void child.send({ say: message }),
    heard: (message) => (said.has(message) ? Promise.resolve() : new Promise((resolve) => waiting.set(message, resolve))),
  };
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
