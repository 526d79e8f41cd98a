/**
 * Finds where every key of a JSON5 text stands. The parser keeps only the last of two equal keys and forgets places, but
 * a lost key can be a lost protection, and a message without a place is hard to act on.
 * The text has been parsed before, so this only walks and never has to judge.
 */
import JSON5 from 'json5';

export interface KeyPlace {
  /** `gateway.auth.token`, `agents.list[0].id` */
  path: string;
  key: string;
  /** Offset of the key in the text. */
  at: number;
}

export interface Scan {
  keys: KeyPlace[];
  /** Offset just behind the `{` of each object, and whether anything is in it. */
  objects: Map<string, { inside: number; isEmpty: boolean }>;
  /** Where the nesting passed the limit; the walk ends there. */
  tooDeepAt?: number;
}

export const maxDepth = 64;

export function scan(text: string): Scan {
  const result: Scan = { keys: [], objects: new Map() };
  let at = 0;
  const skipBlank = () => {
    const blank = /(?:[\s\uFEFF]+|\/\/[^\n\r\u2028\u2029]*|\/\*[^]*?\*\/)*/y;
    blank.lastIndex = at;
    blank.test(text);
    at = blank.lastIndex;
  };
  const skipText = () => {
    const quote = text[at];
    at += 1;
    while (at < text.length && text[at] !== quote) at += text[at] === '\\' ? 2 : 1;
    at += 1;
  };
  const isQuote = () => text[at] === '"' || text[at] === "'";
  const readKey = () => {
    const from = at;
    if (isQuote()) skipText();
    else while (at < text.length && !/[\s:/]/.test(text[at] as string)) at += 1;
    // The parser knows every escape a key may be written with.
    return Object.keys(JSON5.parse<object>(`{${text.slice(from, at)}:0}`))[0] ?? '';
  };
  const object = (path: string, depth: number) => {
    at += 1;
    const inside = at;
    skipBlank();
    result.objects.set(path, { inside, isEmpty: text[at] === '}' });
    while (at < text.length && text[at] !== '}') {
      const from = at;
      const key = readKey();
      const here = path === '' ? key : `${path}.${key}`;
      result.keys.push({ path: here, key, at: from });
      skipBlank();
      at += 1; // the colon
      value(here, depth + 1);
      separator();
    }
    at += 1;
  };
  const array = (path: string, depth: number) => {
    at += 1;
    skipBlank();
    for (let index = 0; at < text.length && text[at] !== ']'; index += 1) {
      value(`${path}[${index}]`, depth + 1);
      separator();
    }
    at += 1;
  };
  const separator = () => {
    skipBlank();
    if (text[at] === ',') at += 1;
    skipBlank();
  };
  const value = (path: string, depth: number) => {
    skipBlank();
    if (depth > maxDepth) result.tooDeepAt ??= at;
    if (result.tooDeepAt !== undefined) at = text.length;
    else if (text[at] === '{') object(path, depth);
    else if (text[at] === '[') array(path, depth);
    else if (isQuote()) skipText();
    else while (at < text.length && !/[\s,\]}/]/.test(text[at] as string)) at += 1;
  };
  value('', 0);
  return result;
}

/** Line and column as people count them, from 1. */
export function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split(/\r\n|[\n\r\u2028\u2029]/);
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
