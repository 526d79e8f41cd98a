/** Reads the log file from a position on, in whole lines and within limits (protocol 4.4, `logs.tail`). */
import { type FileHandle, open } from 'node:fs/promises';
import type { LogPlace } from './log.ts';

export interface LogTail {
  file: string;
  cursor: number;
  size: number;
  lines: string[];
  truncated?: true;
  reset?: true;
}

export interface TailRequest {
  cursor?: number;
  limit?: number;
  maxBytes?: number;
}

/**
 * @param place the file that is written now, and how much was written to those before it: a cursor counts over all of them,
 * so that one from before a rotation is recognised however large the new file has grown.
 */
export async function tailLog({ file, before }: LogPlace, params: TailRequest): Promise<LogTail> {
  const { cursor, limit = 500, maxBytes = 250_000 } = params;
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return { file, cursor: before, size: 0, lines: [] };
  try {
    const { size } = await handle.stat();
    const position = cursor === undefined ? undefined : cursor - before;
    // Whoever had read the old file to its end misses nothing, but is told all the same that this is another one.
    const isNewFile = position === 0 && before > 0;
    const isReset = position !== undefined && (isNewFile || !(await isLineStart(handle, position, size)));
    const from = Math.max(position === undefined || isReset ? 0 : position, size - maxBytes);
    const buffer = Buffer.alloc(size - from);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
    const text = buffer.toString('utf8', 0, bytesRead);
    // A reader that starts inside the file begins at the next whole line, and never ends inside one.
    const isMidLine = from > 0 && from !== position;
    const begin = isMidLine ? text.indexOf('\n') + 1 : 0;
    const end = text.lastIndexOf('\n') + 1;
    const all = text.slice(begin, Math.max(begin, end)).split('\n').slice(0, -1);
    const lines = all.slice(-limit);
    const unread = Buffer.byteLength(text.slice(Math.max(begin, end)));
    const isCut = lines.length < all.length || isMidLine;
    return {
      file,
      cursor: before + size - unread,
      size,
      lines,
      ...(isCut ? { truncated: true } : {}),
      ...(isReset ? { reset: true } : {}),
    };
  } finally {
    await handle.close();
  }
}

/** Where a page ended, a line ended. Anything else is a position in another file. */
async function isLineStart(handle: FileHandle, position: number, size: number): Promise<boolean> {
  if (position < 0 || position > size) return false;
  if (position === 0) return true;
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, position - 1);
  return buffer[0] === newline;
}

const newline = 0x0a;
