/**
 * The gateway's log: JSON lines in a file that rolls by day and size, and readable lines on the terminal. Built on pino,
 * which serialises; the file is written in batches, never one call per line and never on the way to an answer.
 */
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import pino from 'pino';
import { redactText } from './redact.ts';

export type Level = 'silent' | 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace';

export interface Log {
  debug(data: object, message: string): void;
  info(data: object, message: string): void;
  warn(data: object, message: string): void;
  error(data: object, message: string): void;
  fatal(data: object, message: string): void;
  child(subsystem: string): Log;
  /** Whether a debug record would be written anywhere; what only serves such records can be left out. */
  readonly isDebug: boolean;
  /** Path of the file that is written now. */
  file(): string;
  place(): LogPlace;
  flush(): void;
  close(): void;
}

export interface LogPlace {
  file: string;
  /** Bytes in the files that this process has put aside. */
  before: number;
}

export interface LogOptions {
  level: Level;
  consoleLevel: Level;
  /** Overrides the daily file in the temporary folder. */
  file?: string;
  /** JSON on the terminal instead of readable lines. */
  json?: boolean;
  /** Part of the file's name: two instances never share a file. */
  profile?: string;
  /** Size at which the file is put aside. */
  maxFileBytes?: number;
  /** Where the day comes from. */
  now?(): Date;
  generation(): number;
}

const defaultMaxFileBytes = 50 * 1024 * 1024;
const maxAgeMs = 24 * 3_600_000;
const flushMs = 100;
const flushBytes = 64 * 1024;

export function createLog(options: LogOptions): Log {
  const sink = createFileSink(options);
  const streams = pino.multistream(
    [
      { level: pinoLevel(options.level), stream: { write: (line: string) => sink.write(redactText(line)) } },
      { level: pinoLevel(options.consoleLevel), stream: { write: (line: string) => toTerminal(redactText(line), options.json === true) } },
    ],
    { dedupe: false },
  );
  const lowest = [options.level, options.consoleLevel].sort((a, b) => weight(a) - weight(b))[0] ?? 'info';
  const base = pino(
    {
      level: lowest,
      messageKey: 'message',
      base: { pid: process.pid },
      mixin: () => ({ generation: options.generation() }),
      timestamp: () => `,"time":"${localIso(new Date())}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    streams,
  );
  const wrap = (logger: pino.Logger): Log => ({
    debug: (data, message) => logger.debug(data, message),
    info: (data, message) => logger.info(data, message),
    warn: (data, message) => logger.warn(data, message),
    error: (data, message) => logger.error(data, message),
    fatal: (data, message) => logger.fatal(data, message),
    isDebug: weight(lowest) <= weight('debug'),
    child: (subsystem) => wrap(logger.child({ subsystem })),
    file: () => sink.place().file,
    place: sink.place,
    flush: () => sink.flush(),
    close: () => sink.close(),
  });
  return wrap(base);
}

const levels: Level[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
const weight = (level: Level) => levels.indexOf(level);
const pinoLevel = (level: Level) => (level === 'silent' ? (Number.MAX_SAFE_INTEGER as unknown as pino.Level) : level);

/** ISO time with the offset of this machine, as people read logs in local time. */
function localIso(date: Date): string {
  const offset = -date.getTimezoneOffset();
  const shifted = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, -1);
  const sign = offset < 0 ? '-' : '+';
  const two = (value: number) => String(Math.floor(Math.abs(value))).padStart(2, '0');
  return `${shifted}${sign}${two(offset / 60)}:${two(offset % 60)}`;
}

const dayOf = (date: Date) => localIso(date).slice(0, 10);

/** The folder is ours alone, or another one is used: a stranger's folder could be a trap. */
function logFolder(): string {
  const { uid } = userInfo();
  for (const folder of [join(tmpdir(), 'openclaw'), join(tmpdir(), `openclaw-${uid}`)]) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const stat = lstatSync(folder);
      if (uid < 0 || (stat.isDirectory() && stat.uid === uid && (stat.mode & 0o077) === 0)) return folder;
    } catch {
      // Not ours to create: the next candidate carries the user's number.
    }
  }
  return tmpdir();
}

interface FileSink {
  write(line: string): void;
  place(): LogPlace;
  flush(): void;
  close(): void;
}

function createFileSink({ file: fixed, profile, maxFileBytes = defaultMaxFileBytes, now = () => new Date() }: LogOptions): FileSink {
  const folder = fixed === undefined ? logFolder() : dirname(fixed);
  const stem = profile === undefined ? 'openclaw' : `openclaw-${profile}`;
  let day = '';
  let path = fixed ?? '';
  let fd: number | undefined;
  let size = 0;
  let before = 0;
  let buffer = '';
  let timer: NodeJS.Timeout | undefined;

  function open() {
    const today = dayOf(now());
    if (fd !== undefined && (fixed !== undefined || today === day) && size < maxFileBytes) return;
    if (fd !== undefined) before += size;
    closeFile();
    if (fixed === undefined) {
      day = today;
      path = join(folder, `${stem}-${today}.log`);
      removeOld(folder, path, now().getTime());
    } else mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (sizeOf(path) >= maxFileBytes) renameSync(path, `${path}.1`);
    fd = openSync(path, 'a', 0o600);
    size = sizeOf(path);
  }

  function closeFile() {
    const open = fd;
    fd = undefined;
    if (open !== undefined) closeSync(open);
  }

  function flush() {
    clearTimeout(timer);
    timer = undefined;
    const bytes = Buffer.from(buffer);
    buffer = '';
    if (bytes.length === 0) return;
    try {
      open();
      for (let at = 0; fd !== undefined && at < bytes.length; ) {
        const written = writeSync(fd, bytes, at);
        at += written;
        size += written;
      }
    } catch {
      // Logging never stops the gateway: a disk that is full or a folder that is gone costs these lines, and the next
      // ones are tried anew. The terminal still has them.
      closeFile();
    }
  }

  try {
    open();
  } catch {
    // As above: the first line tries again.
  }
  return {
    write(line) {
      buffer += line;
      if (buffer.length > flushBytes) flush();
      else timer ??= setTimeout(flush, flushMs).unref();
    },
    place: () => ({ file: path, before }),
    flush,
    close() {
      flush();
      closeFile();
    },
  };
}

const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

function removeOld(folder: string, keep: string, now: number): void {
  for (const name of readdirSync(folder)) {
    if (!/^openclaw-(.+-)?\d{4}-\d{2}-\d{2}\.log(\.1)?$/.test(name) || join(folder, name) === keep) continue;
    const stat = statSync(join(folder, name), { throwIfNoEntry: false });
    if (stat && now - stat.mtimeMs > maxAgeMs) rmSync(join(folder, name), { force: true });
  }
}

/** Readable line: warnings and worse go to stderr. */
function toTerminal(line: string, json: boolean): void {
  const record = JSON.parse(line) as Record<string, unknown>;
  const level = String(record['level']);
  const stream = weight(level as Level) >= weight('warn') ? process.stderr : process.stdout;
  if (json) {
    stream.write(line);
    return;
  }
  const { time, level: _level, pid: _pid, generation: _generation, subsystem, message, ...data } = record;
  const parts = Object.entries(data).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const mark = level === 'info' ? '' : `${level} `;
  stream.write(
    `${String(time).slice(11, 19)} ${subsystem ? `[${subsystem}] ` : ''}${mark}${message}${parts.length > 0 ? `  ${parts.join(' ')}` : ''}\n`,
  );
}
