/**
 * Changes a JSON5 text by a merge patch (RFC 7396): `null` removes a key, objects merge, everything else replaces. Only
 * the bytes of what changes are touched; comments, order, quotes and `${NAME}` elsewhere stay as the operator wrote them.
 * The text has been parsed before. Pure.
 */
import JSON5 from 'json5';
import { isObject, maxBytes } from './parse.ts';
import { isSame } from './same.ts';
import { maxDepth, scan, type TextMember, type TextNode } from './scan.ts';
import { type Edit, splice } from './splice.ts';

type Json = Record<string, unknown>;

/** How the operator writes: what is added looks like what is there. */
interface Style {
  eol: string;
  unit: string;
  isQuoted: boolean;
}

/** @returns what the text asks for, or why it is no patch. */
export function readPatch(raw: string): { patch: Json } | { problem: string } {
  if (Buffer.byteLength(raw) > maxBytes) return { problem: `must not be larger than ${maxBytes / 1024 / 1024} MB` };
  let patch: unknown;
  try {
    patch = JSON5.parse(raw);
  } catch {
    // The words of the parser quote the character that it choked on, which may be part of a secret.
    return { problem: 'cannot be read as JSON5' };
  }
  if (!isObject(patch)) return { problem: 'must be one object' };
  if (scan(raw).tooDeepAt !== undefined) return { problem: `is nested deeper than ${maxDepth} levels` };
  return { patch };
}

export function patchText(text: string, patch: Json): string {
  // What counts as {} is written as that; a byte order mark stays.
  const base = text.replace(/^\uFEFF/, '').trim() === '' ? `${text.startsWith('\uFEFF') ? '\uFEFF' : ''}{}\n` : text;
  const { root } = scan(base);
  const edits: Edit[] = [];
  editObject(base, root, patch, { style: styleOf(base, root), isRoot: true }, edits);
  return splice(base, edits);
}

function editObject(text: string, node: TextNode, patch: Json, { style, isRoot }: { style: Style; isRoot: boolean }, edits: Edit[]): void {
  const members = node.members ?? [];
  const byKey = new Map(members.map((member) => [member.key, member]));
  const removed = new Set<TextMember>();
  const added: [key: string, value: unknown][] = [];
  const isTall = /[\n\r]/.test(text.slice(node.from, node.to));
  const own: Style = { ...style, isQuoted: members[0] ? isQuoted(text, members[0]) : style.isQuoted };
  for (const [key, value] of Object.entries(patch)) {
    const member = byKey.get(key);
    if (value === null) {
      if (member) removed.add(member);
    } else if (member === undefined) added.push([key, withoutNulls(value)]);
    else if (isObject(value) && member.value.members) editObject(text, member.value, value, { style: own, isRoot: false }, edits);
    else {
      const next = withoutNulls(value);
      const { from, to } = member.value;
      const indent = isTall ? indentAt(text, member.at) : undefined;
      if (!isSame(JSON5.parse(text.slice(from, to)), next)) edits.push({ from, to, text: render(next, own, indent) });
    }
  }
  const kept = members.filter((member) => !removed.has(member)).at(-1);
  for (const member of removed) edits.push(removal(text, member));
  if (added.length > 0)
    edits.push(...insertion(text, node, { kept, added, style: own, isTall: isTall || (isRoot && members.length === 0) }));
  else if (kept?.comma !== undefined && members.at(-1)?.comma === undefined)
    // There was no comma behind the last one, and whoever reads plain JSON would trip over one now.
    edits.push({ from: kept.comma, to: kept.comma + 1, text: '' });
}

/** A member that has its lines to itself takes them along; one among others leaves their spacing alone. */
function removal(text: string, { at, value, comma }: TextMember): Edit {
  const to = comma === undefined ? value.to : comma + 1;
  const before = /\r?\n[ \t]*$/.exec(text.slice(0, at));
  const isAlone = before !== null && /^[ \t]*(?:\r?\n|$)/.test(text.slice(to));
  if (isAlone) return { from: before.index, to, text: '' };
  if (comma !== undefined) return { from: at, to: to + (/^[ \t]*(?=[^\s}])/.exec(text.slice(to))?.[0].length ?? 0), text: '' };
  return { from: before === null ? at - (/[ \t]*$/.exec(text.slice(0, at))?.[0].length ?? 0) : at, to, text: '' };
}

function insertion(
  text: string,
  node: TextNode,
  { kept, added, style, isTall }: { kept: TextMember | undefined; added: [string, unknown][]; style: Style; isTall: boolean },
): Edit[] {
  const edits: Edit[] = [];
  if (kept && kept.comma === undefined) edits.push({ from: kept.value.to, to: kept.value.to, text: ',' });
  const close = node.to - 1;
  // Behind the last thing in it, be that a comment; a line comment ends with the line that is begun here.
  const at = node.from + 1 + text.slice(node.from + 1, close).trimEnd().length;
  const outer = indentAt(text, node.from);
  const first = node.members?.[0];
  const indent = first && isFirstInLine(text, first.at) ? indentAt(text, first.at) : outer + style.unit;
  const written = added.map(([key, value]) => `${renderKey(key, style)}: ${render(value, style, isTall ? indent : undefined)}`);
  const isTrailing = (node.members?.at(-1)?.comma ?? undefined) !== undefined;
  const body = isTall
    ? written.map((line) => `${style.eol}${indent}${line}`).join(',') + (isTrailing ? ',' : '')
    : ` ${written.join(', ')}${isTrailing ? ',' : ''}`;
  const isOpen = isTall ? !/[\n\r]/.test(text.slice(at, close)) : at === close && node.members?.length === 0;
  edits.push({ from: at, to: at, text: body + (isOpen ? (isTall ? style.eol + outer : ' ') : '') });
  return edits;
}

function styleOf(text: string, { members = [] }: TextNode): Style {
  const first = members[0];
  const indent = first && isFirstInLine(text, first.at) ? indentAt(text, first.at) : '';
  return { eol: text.includes('\r\n') ? '\r\n' : '\n', unit: indent || '  ', isQuoted: first === undefined || isQuoted(text, first) };
}

const isQuoted = (text: string, { at }: TextMember) => text[at] === '"' || text[at] === "'";
const lineStart = (text: string, at: number) => Math.max(text.lastIndexOf('\n', at - 1), text.lastIndexOf('\r', at - 1)) + 1;
const isFirstInLine = (text: string, at: number) => /^[ \t]*$/.test(text.slice(lineStart(text, at), at)) && lineStart(text, at) > 0;
const indentAt = (text: string, at: number) => /^[ \t]*/.exec(text.slice(lineStart(text, at), at))?.[0] ?? '';

const renderKey = (key: string, { isQuoted: quoted }: Style) => (!quoted && /^[A-Za-z_$][\w$]*$/.test(key) ? key : JSON.stringify(key));

/** @param indent of the line it begins in; without one everything goes into that line. */
function render(value: unknown, style: Style, indent: string | undefined): string {
  const inner = indent === undefined ? undefined : indent + style.unit;
  const enclose = (open: string, close: string, parts: string[], isWide: boolean) => {
    if (parts.length === 0) return open + close;
    if (isWide || inner === undefined) return open === '[' ? `[${parts.join(', ')}]` : `{ ${parts.join(', ')} }`;
    return `${open}${parts.map((part) => style.eol + inner + part).join(',')}${style.eol}${indent}${close}`;
  };
  if (Array.isArray(value)) {
    const isFlat = value.every((item) => typeof item !== 'object' || item === null);
    const items = value.map((item) => render(item, style, isFlat ? undefined : inner));
    return enclose('[', ']', items, isFlat);
  }
  if (isObject(value)) {
    const parts = Object.entries(value).map(([key, item]) => `${renderKey(key, style)}: ${render(item, style, inner)}`);
    return enclose('{', '}', parts, false);
  }
  // Infinity and NaN stay what they are, and no key takes them.
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : JSON.stringify(value);
}

/** In what is new there is nothing to remove. */
function withoutNulls(value: unknown): unknown {
  if (!isObject(value)) return value;
  const parts = Object.entries(value).filter(([, item]) => item !== null);
  return Object.fromEntries(parts.map(([key, item]) => [key, withoutNulls(item)]));
}
