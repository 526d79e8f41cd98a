/**
 * Finds where every key and value of a JSON5 text stands. The parser keeps only the last of two equal keys and forgets
 * places, but a lost key can be a lost protection, a message without a place is hard to act on, and who changes one value
 * has to leave every other byte alone.
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

/** A value as it stands in the text. */
export interface TextNode {
  from: number;
  /** Just behind its last character. */
  to: number;
  /** Of an object, in the order of the text. */
  members?: TextMember[];
  /** Of an array. */
  items?: TextNode[];
}

export interface TextMember {
  key: string;
  /** Offset of the key. */
  at: number;
  value: TextNode;
  /** Offset of the comma behind it, if there is one. */
  comma?: number;
}

export interface Scan {
  /** Incomplete when the text is nested too deep. */
  root: TextNode;
  keys: KeyPlace[];
  /** Offset just behind the `{` of each object, and whether anything is in it. */
  objects: Map<string, { inside: number; isEmpty: boolean }>;
  /** Where the nesting passed the limit; the walk ends there. */
  tooDeepAt?: number;
}

export const maxDepth = 64;

export function scan(text: string): Scan {
  const result: Omit<Scan, 'root'> = { keys: [], objects: new Map() };
  let at = 0;
  const skipBlank = () => {
    // Behind the end, where a walk that gave up stands, a sticky pattern would begin at the start again.
    if (at >= text.length) return;
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
  const object = (path: string, depth: number): TextMember[] => {
    const members: TextMember[] = [];
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
      const member: TextMember = { key, at: from, value: value(here, depth + 1) };
      const comma = separator();
      members.push(comma === undefined ? member : { ...member, comma });
    }
    at += 1;
    return members;
  };
  const array = (path: string, depth: number): TextNode[] => {
    const items: TextNode[] = [];
    at += 1;
    skipBlank();
    for (let index = 0; at < text.length && text[at] !== ']'; index += 1) {
      items.push(value(`${path}[${index}]`, depth + 1));
      separator();
    }
    at += 1;
    return items;
  };
  /** @returns where the comma stands. */
  const separator = () => {
    skipBlank();
    const comma = text[at] === ',' ? at : undefined;
    if (comma !== undefined) at += 1;
    skipBlank();
    return comma;
  };
  const value = (path: string, depth: number): TextNode => {
    skipBlank();
    const node: TextNode = { from: at, to: at };
    if (depth > maxDepth) result.tooDeepAt ??= at;
    if (result.tooDeepAt !== undefined) at = text.length;
    else if (text[at] === '{') node.members = object(path, depth);
    else if (text[at] === '[') node.items = array(path, depth);
    else if (isQuote()) skipText();
    else while (at < text.length && !/[\s,\]}/]/.test(text[at] as string)) at += 1;
    node.to = at;
    return node;
  };
  const root = value('', 0);
  return { ...result, root };
}

/** Line and column as people count them, from 1. */
export function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split(/\r\n|[\n\r\u2028\u2029]/);
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
