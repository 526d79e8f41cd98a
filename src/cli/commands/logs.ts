import { ConnectionError, type GatewayClient, reconnectDelay } from '../../protocol/client.ts';
import { connectTo, pause, timeoutOf, untilInterrupted } from '../ask.ts';
import { type CommandCall, clientOptions, defineCommand, integerOption } from '../command.ts';
import { describeFailure } from '../errors.ts';
import type { Io } from '../io.ts';
import { resolveTarget, type Target } from '../target.ts';

interface Page {
  file: string;
  cursor: number;
  size: number;
  lines: string[];
  truncated?: boolean;
  reset?: boolean;
}

/** Largest page the gateway gives; following must not fall behind. */
const maxLines = 5_000;

export const logs = defineCommand({
  path: ['logs'],
  summary: 'Shows the log of the gateway, through the gateway.',
  usage: 'openclaw logs [--follow] [--limit <n>] [--json]',
  options: {
    follow: { type: 'boolean', help: 'Keep showing new lines', short: 'f' },
    limit: { type: 'string', help: 'Lines of the first page, default 200', value: '<n>' },
    'max-bytes': { type: 'string', help: 'Bytes per page, default 250000', value: '<n>' },
    interval: { type: 'string', help: 'Milliseconds between two looks, default 1000', value: '<ms>' },
    plain: { type: 'boolean', help: 'No styling' },
    ...clientOptions,
    json: { type: 'boolean', help: 'Print one JSON document per line' },
  },
  interrupt: 'own',
  // With --json stdout holds log objects only: a failure is one more object, on stderr.
  fail(error, { options, io, profile }) {
    if (!options['json']) return undefined;
    const { shape, lines, exitCode } = describeFailure(error, profile);
    const hint = lines.find((line) => line.startsWith('fix: '))?.slice(5);
    io.note(
      JSON.stringify({ type: 'error', message: shape.message, error: shape.code, details: lines, ...(hint === undefined ? {} : { hint }) }),
    );
    return exitCode;
  },
  async run(call) {
    const { options, io } = call;
    const limit = integerOption('limit', options['limit'], { min: 1, max: maxLines }) ?? 200;
    const maxBytes = integerOption('max-bytes', options['max-bytes'], { min: 1, max: 1_000_000 }) ?? 250_000;
    const interval = integerOption('interval', options['interval'], { min: 100, max: 3_600_000 }) ?? 1_000;
    const lines = options['json'] ? jsonLines(io) : humanLines(io, options['plain'] === true);
    const stopped = untilInterrupted();
    const target = await resolveTarget(call);
    try {
      await show({ call, target, lines, limit, maxBytes, interval, signal: stopped.signal });
      return 0;
    } catch (error) {
      if (stopped.signal.aborted) return 0;
      throw error instanceof Error ? Object.assign(error, { target }) : error;
    } finally {
      stopped.off();
    }
  },
});

interface Following {
  call: CommandCall;
  target: Target;
  lines: Lines;
  limit: number;
  maxBytes: number;
  interval: number;
  signal: AbortSignal;
}

async function show({ call, target, lines, limit, maxBytes, interval, signal }: Following): Promise<void> {
  const timeoutMs = timeoutOf(call);
  const isFollowing = call.options['follow'] === true;
  let client: GatewayClient | undefined = await connectTo(target, timeoutMs);
  let cursor: number | undefined;
  try {
    while (client && !signal.aborted) {
      const page = await nextPage(
        client,
        { ...(cursor === undefined ? { limit } : { cursor, limit: maxLines }), maxBytes },
        { timeoutMs, signal },
      );
      if (page instanceof ConnectionError) {
        if (!isFollowing) throw page;
        lines.notice('connection lost, coming back');
        client.close();
        client = await comeBack(target, timeoutMs, signal);
        if (client) lines.notice('reconnected');
        continue;
      }
      lines.page(page, cursor === undefined);
      ({ cursor } = page);
      if (!isFollowing) return;
      await pause(interval, signal);
    }
  } finally {
    client?.close();
  }
}

/** A lost connection is a value here: following goes on after it. */
async function nextPage(
  client: GatewayClient,
  params: object,
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<Page | ConnectionError> {
  try {
    return await client.request<Page>('logs.tail', params, options);
  } catch (error) {
    if (error instanceof ConnectionError) return error;
    throw error;
  }
}

async function comeBack(target: Target, timeoutMs: number, signal: AbortSignal): Promise<GatewayClient | undefined> {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    await pause(reconnectDelay(attempt), signal);
    const again = await connectTo(target, timeoutMs).catch(() => undefined);
    if (again) return again;
  }
  return undefined;
}

interface Lines {
  page(page: Page, isFirst: boolean): void;
  notice(message: string): void;
}

/** What a page tells besides its lines. */
function noticesOf({ reset, truncated }: Page, isFirst: boolean): string[] {
  return [...(reset && !isFirst ? ['the file was rotated'] : []), ...(truncated ? ['older lines were left out'] : [])];
}

function parse(raw: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(raw);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function jsonLines(io: Io): Lines {
  const emit = (value: object) => io.print(JSON.stringify(value));
  const line = (raw: string) => {
    const record = parse(raw);
    if (record === undefined) return emit({ type: 'raw', raw });
    const { time, level, subsystem, module: part, message } = record;
    emit({ type: 'log', time, level, ...(subsystem ? { subsystem } : {}), ...(part ? { module: part } : {}), message, raw });
  };
  const notice = (message: string) => emit({ type: 'notice', message });
  return {
    notice,
    page(page, isFirst) {
      const { file, cursor, size, reset, lines } = page;
      if (isFirst || reset) emit({ type: 'meta', file, cursor, size });
      for (const message of noticesOf(page, isFirst)) notice(message);
      for (const raw of lines) line(raw);
    },
  };
}

function humanLines(io: Io, plain: boolean): Lines {
  const colourOf = { warn: 'yellow', error: 'red', fatal: 'red', debug: 'dim', trace: 'dim' } as const;
  const line = (raw: string) => {
    const record = parse(raw);
    if (record === undefined) return io.print(raw);
    const level = String(record['level']);
    const colour = colourOf[level as keyof typeof colourOf];
    const text = `${clock(record['time'])} ${level.padEnd(5)} ${record['subsystem'] ? `[${String(record['subsystem'])}] ` : ''}${String(record['message'])}`;
    io.print(colour === undefined || plain ? text : io.paint(text, colour));
  };
  return {
    notice: (message) => io.note(message),
    page(page, isFirst) {
      for (const message of noticesOf(page, isFirst)) io.note(message);
      for (const raw of page.lines) line(raw);
    },
  };
}

/** Records carry ISO time or milliseconds; people read the clock. */
function clock(time: unknown): string {
  const date = new Date(time as string | number);
  return Number.isNaN(date.getTime()) ? '--:--:--' : date.toTimeString().slice(0, 8);
}
