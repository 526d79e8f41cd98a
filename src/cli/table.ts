/** Columns of text. Colour codes take no room on a terminal, so widths are counted without them. */
import { stripVTControlCharacters } from 'node:util';

export const widthOf = (text: string): number => stripVTControlCharacters(text).length;

/** Pads every cell but the last of a row to the width of its column. */
export function table(rows: readonly (readonly string[])[], gap = 2): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, widthOf(cell));
  return rows.map((row) =>
    row
      .map((cell, index) => (index === row.length - 1 ? cell : cell + ' '.repeat((widths[index] ?? 0) - widthOf(cell) + gap)))
      .join('')
      .trimEnd(),
  );
}
