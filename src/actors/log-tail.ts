/** Reads the log file from a position on, in whole lines and within limits (protocol 4.4, `logs.tail`). */
import { open } from 'node:fs/promises';

export interface LogTail {
  file: string;
  cursor: number;
  size: number;
  lines: string[];
  truncated?: true;
  reset?: true;
}

export async function tailLog(file: string, params: { cursor?: number; limit?: number; maxBytes?: number }): Promise<LogTail> {
  const { cursor, limit = 500, maxBytes = 250_000 } = params;
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return { file, cursor: 0, size: 0, lines: [] };
  try {
    const { size } = await handle.stat();
    const isReset = cursor !== undefined && cursor > size;
    const from = Math.max(cursor === undefined || isReset ? 0 : cursor, size - maxBytes);
    const buffer = Buffer.alloc(size - from);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
    const text = buffer.toString('utf8', 0, bytesRead);
    // A reader that starts inside the file begins at the next whole line, and never ends inside one.
    const isMidLine = from > 0 && from !== cursor;
    const begin = isMidLine ? text.indexOf('\n') + 1 : 0;
    const end = text.lastIndexOf('\n') + 1;
    const all = text.slice(begin, Math.max(begin, end)).split('\n').slice(0, -1);
    const lines = all.slice(-limit);
    const unread = Buffer.byteLength(text.slice(Math.max(begin, end)));
    const isCut = lines.length < all.length || isMidLine;
    return { file, cursor: size - unread, size, lines, ...(isCut ? { truncated: true } : {}), ...(isReset ? { reset: true } : {}) };
  } finally {
    await handle.close();
  }
}
