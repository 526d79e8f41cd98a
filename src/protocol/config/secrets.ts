/**
 * The closed form of secrets, in which a configuration leaves the gateway, and the way back: whoever writes a closed
 * secret means the one that is there.
 */
import { createHash } from 'node:crypto';
import JSON5 from 'json5';
import { configKeys } from './keys.ts';
import { scan, type TextNode } from './scan.ts';
import { type Edit, splice } from './splice.ts';

const looksSecret = /(token|password|secret|api_?key)$/i;

/** @param path key names joined by dots; places in a list are left out. */
export const isSecretPath = (path: string): boolean =>
  (Object.hasOwn(configKeys, path) && configKeys[path]?.secret === true) || looksSecret.test(path);

/** What clients of other releases write for a secret that they have not seen. */
const placeholder = '__OPENCLAW_REDACTED__';
const closedForm = /^secret:[0-9a-f]{8}$/;

/** A secret shows as the start of its hash: enough to compare two of them, nothing to use. */
const closed = (value: string) => `secret:${createHash('sha256').update(value).digest('hex').slice(0, 8)}`;

const isScalar = (value: unknown) => typeof value === 'string' || typeof value === 'number';
const join = (path: string, key: string) => (path === '' ? key : `${path}.${key}`);

export function close(value: unknown, path = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => close(item, path));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, close(item, join(path, key))]));
  }
  return isSecretPath(path) && isScalar(value) ? closed(String(value)) : value;
}

/** Every secret of a configuration, in the clear. */
export function secretsOf(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => secretsOf(item, path));
  if (typeof value === 'object' && value !== null) return Object.entries(value).flatMap(([key, item]) => secretsOf(item, join(path, key)));
  return isSecretPath(path) && isScalar(value) ? [String(value)] : [];
}

interface Place {
  node: TextNode;
  /** As `isSecretPath` takes it. */
  path: string;
  /** Members and places in lists on the way to it. */
  steps: (string | number)[];
}

function* secretPlaces(text: string, node: TextNode, path = '', steps: (string | number)[] = []): Generator<Place> {
  for (const { key, value } of node.members ?? []) yield* secretPlaces(text, value, join(path, key), [...steps, key]);
  for (const [index, item] of (node.items ?? []).entries()) yield* secretPlaces(text, item, path, [...steps, index]);
  if (node.members || node.items || !isSecretPath(path)) return;
  if (isScalar(valueAt(text, node))) yield { node, path, steps };
}

const valueAt = (text: string, { from, to }: TextNode): unknown => JSON5.parse(text.slice(from, to));

/** The text with nothing else changed. Comments may still say what they should not. @param text has been parsed before. */
export const closeText = (text: string): string => replaceSecrets(text, ({ node }) => closed(String(valueAt(text, node))));

/** The text without its secrets, to look for what is left of them. */
export const blankText = (text: string): string => replaceSecrets(text, () => '');

function replaceSecrets(text: string, of: (place: Place) => string): string {
  return splice(
    text,
    [...secretPlaces(text, scan(text).root)].map((place) => {
      const quote = text[place.node.from] === "'" ? "'" : '"';
      return { ...place.node, text: quote + of(place) + quote };
    }),
  );
}

/**
 * Puts back, to the letter, what was closed.
 * @param text and `present` have been parsed before.
 * @returns also the paths at which there was nothing to put back.
 */
export function openText(text: string, present: string | null): { text: string; lost: string[] } {
  const there = present === null || present.trim() === '' ? undefined : scan(present).root;
  const lost: string[] = [];
  const edits: Edit[] = [];
  for (const { node, path, steps } of secretPlaces(text, scan(text).root)) {
    const value = valueAt(text, node);
    if (value !== placeholder && !closedForm.test(String(value))) continue;
    const found = there && steps.reduce<TextNode | undefined>(step, there);
    const literal = found && !found.members && !found.items ? (present as string).slice(found.from, found.to) : undefined;
    const known = literal === undefined ? undefined : (JSON5.parse(literal) as unknown);
    // A reference closes differently before and after it is resolved, and both are shown.
    const isMeant = isScalar(known) && (value === placeholder || value === closed(String(known)) || String(known).includes('${'));
    if (isMeant && literal !== undefined) edits.push({ ...node, text: literal });
    else lost.push(path);
  }
  return { text: splice(text, edits), lost };
}

const step = (node: TextNode | undefined, name: string | number): TextNode | undefined =>
  typeof name === 'number' ? node?.items?.[name] : node?.members?.find(({ key }) => key === name)?.value;
