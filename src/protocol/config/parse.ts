/**
 * Reads a configuration text: JSON5, `${NAME}` from the environment, checked against the table of keys, defaults filled
 * in. Pure: the same text and environment give the same answer, and nothing is ever written.
 */
import { createHash } from 'node:crypto';
import JSON5 from 'json5';
import { describeErrors, validatorOf } from '../validate.ts';
import { aliases, configKeys, edgeSections, strictSections } from './keys.ts';
import { maxDepth, placeOf, type Scan, scan } from './scan.ts';
import type { Config, ConfigIssue } from './types.ts';

export interface ParsedConfig {
  config: Config;
  /** What the file says, before defaults; `undefined` when it cannot be read at all. */
  document: Record<string, unknown> | undefined;
  issues: ConfigIssue[];
  /** No errors at all: good enough to replace a configuration in force. */
  valid: boolean;
  /** Good enough to start with: what is wrong concerns only sections a gateway can do without, and these are off. */
  usable: boolean;
  /** Hex SHA-256 of the text; that of the empty string when there is none. */
  hash: string;
}

type Json = Record<string, unknown>;
type Environment = Record<string, string | undefined>;

export const maxBytes = 4 * 1024 * 1024;
const forbidden = new Set(['__proto__', 'constructor', 'prototype']);

export function parseConfig(text: string | null, env: Environment, paths: { home: string; workspace: string }): ParsedConfig {
  const isStrictRun = env['OPENCLAW_CONFIG_STRICT'] === '1';
  const issues: ConfigIssue[] = [];
  const { document, places } = parseDocument(text, issues);
  const resolved = document === undefined ? {} : (substitute(document, env, issues, '') as Json);
  rename(resolved);
  check(resolved, issues);
  for (const issue of issues) {
    if (isStrictRun) issue.level = 'error';
    const at = places.get(issue.path);
    if (at && issue.line === undefined) Object.assign(issue, at);
  }
  const broken = issues.filter(({ level }) => level === 'error').map(({ path }) => path);
  const usable = broken.length === 0 || (!isStrictRun && broken.every(isEdge));
  const config = withDefaults(usable ? without(resolved, broken) : {}, paths);
  const hash = createHash('sha256')
    .update(text ?? '')
    .digest('hex');
  return { config, document, issues, valid: broken.length === 0, usable, hash };
}

type Places = Map<string, { line: number; column: number }>;

function parseDocument(text: string | null, issues: ConfigIssue[]): { document: Json | undefined; places: Places } {
  const places: Places = new Map();
  const refuse = (message: string, at?: { line: number; column: number }) => {
    issues.push({ path: '', message, level: 'error', ...at });
    return { document: undefined, places };
  };
  if (text === null) return { document: {}, places };
  if (Buffer.byteLength(text) > maxBytes) return refuse(`must not be larger than ${maxBytes / 1024 / 1024} MB`);
  const bare = text.replace(/^\uFEFF/, '');
  if (bare.trim() === '') {
    issues.push({ path: '', message: 'the file is empty and counts as {}', level: 'warning' });
    return { document: {}, places };
  }
  let value: unknown;
  try {
    value = JSON5.parse(bare);
  } catch (error) {
    // JSON5 says "JSON5: invalid character 'x' at 3:7"; only the place is repeated, the character may be part of a secret.
    const { lineNumber: line, columnNumber: column } = error as { lineNumber?: number; columnNumber?: number };
    if (line !== undefined && column !== undefined)
      return refuse(`cannot be read as JSON5 at line ${line}, column ${column}`, { line, column });
    return refuse('cannot be read as JSON5');
  }
  if (!isObject(value)) return refuse('must hold one object: { … }');
  const found = scan(bare);
  if (found.tooDeepAt !== undefined) return refuse(`nested deeper than ${maxDepth} levels`, placeOf(bare, found.tooDeepAt));
  checkKeys(bare, found, places, issues);
  return { document: value, places };
}

/** JSON5 keeps the last of two equal keys; nobody can tell whether that is the one that was meant. */
function checkKeys(text: string, { keys }: Scan, places: Places, issues: ConfigIssue[]): void {
  for (const { path, key, at } of keys) {
    const place = placeOf(text, at);
    const first = places.get(path);
    if (first) issues.push({ path, message: `stands twice, at line ${first.line} and line ${place.line}`, level: 'error', ...place });
    if (forbidden.has(key)) issues.push({ path, message: 'this key is not allowed anywhere', level: 'error', ...place });
    places.set(path, place);
  }
}

export const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

function substitute(value: unknown, env: Environment, issues: ConfigIssue[], path: string): unknown {
  if (typeof value === 'string') return substituteText(value, env, issues, path);
  if (Array.isArray(value)) return value.map((item, index) => substitute(item, env, issues, `${path}[${index}]`));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !forbidden.has(key))
      .map(([key, item]) => [key, substitute(item, env, issues, join(path, key))]),
  );
}

function substituteText(text: string, env: Environment, issues: ConfigIssue[], path: string): string {
  return text.replace(/\$?\$\{([A-Z_][A-Z0-9_]*)\}/g, (match, name: string) => {
    if (match.startsWith('$$')) return match.slice(1);
    const value = env[name];
    if (value !== undefined && value !== '') return value;
    issues.push({ path, message: `the variable ${name} is not set`, level: 'error' });
    return '';
  });
}

const join = (path: string, key: string) => (path === '' ? key : `${path}.${key}`);

/** The name the code knows wins where both are written. */
function rename(document: Json): void {
  for (const [other, key] of Object.entries(aliases)) {
    const value = get(document, other);
    if (value === undefined) continue;
    if (get(document, key) === undefined) set(document, key, value);
    const parent = get(document, other.slice(0, other.lastIndexOf('.'))) as Json;
    delete parent[other.slice(other.lastIndexOf('.') + 1)];
  }
}

/** Known keys are checked, unknown ones are named: a typo must not pass for a setting. */
function check(document: Json, issues: ConfigIssue[]): void {
  const walk = (value: Json, path: string) => {
    for (const [key, item] of Object.entries(value)) {
      const here = join(path, key);
      const row = Object.hasOwn(configKeys, here) ? configKeys[here] : undefined;
      if (row) {
        checkValue(here, item, row.schema, issues);
        if (row.inert) issues.push({ path: here, message: 'is accepted, and has no effect in this release', level: 'warning' });
      } else if (sections.has(here)) {
        if (isObject(item)) walk(item, here);
        else issues.push({ path: here, message: 'must be an object', level: 'error' });
      } else if (!ignored.has(here))
        issues.push({ path: here, message: 'is not a key this release knows', level: isStrict(here) ? 'error' : 'warning', unknown: true });
    }
  };
  walk(document, '');
}

/** Bookkeeping of other programs in the same file. */
export const ignored = new Set(['meta', 'wizard', '$schema']);

/** What holds keys and is none itself: `gateway`, `gateway.auth`, … */
export const sections: ReadonlySet<string> = new Set(
  Object.keys(configKeys).flatMap((key) => {
    const parts = key.split('.');
    return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('.'));
  }),
);
const isIn = (path: string, section: string) => path === section || path.startsWith(`${section}.`) || path.startsWith(`${section}[`);
const isStrict = (path: string) => strictSections.some((section) => isIn(path, section));
const isEdge = (path: string) => edgeSections.some((section) => isIn(path, section));

function checkValue(path: string, value: unknown, schema: object, issues: ConfigIssue[]): void {
  const validate = validatorOf(`config:${path}`, schema);
  if (validate(value)) return;
  // Alternatives report one error each; what is accepted says more than all of them.
  const accepted = acceptedForm(schema);
  issues.push({ path, message: accepted === undefined ? describeErrors(validate.errors) : `must be ${accepted}`, level: 'error' });
}

function acceptedForm(schema: object): string | undefined {
  const {
    anyOf,
    type,
    minimum,
    maximum,
    const: only,
    items,
  } = schema as {
    anyOf?: { const?: unknown }[];
    type?: string;
    minimum?: number;
    maximum?: number;
    const?: unknown;
    items?: { type?: string };
  };
  if (only !== undefined) return `${String(only)} in this release`;
  if (anyOf?.every((option) => option.const !== undefined)) return `one of: ${anyOf.map((option) => String(option.const)).join(', ')}`;
  if (type === 'integer')
    return `a whole number${minimum === undefined ? '' : ` from ${minimum}`}${maximum === undefined ? '' : ` to ${maximum}`}`;
  if (type === 'boolean') return 'true or false';
  if (type === 'string') return 'a text that is not empty';
  if (type === 'array' && items?.type === 'string') return 'a list of texts';
  return undefined;
}

/** A channel with a mistake is off, any other such section is at its defaults: neither guesses what was meant. */
function without(document: Json, broken: readonly string[]): Json {
  if (broken.length === 0) return document;
  const result = structuredClone(document);
  for (const path of broken) {
    const [section = '', channel] = path.split(/[.[]/);
    if (section === 'channels' && channel !== undefined) set(result, `channels.${channel}`, { enabled: false });
    else delete result[section];
  }
  return result;
}

function withDefaults(document: Json, { home, workspace }: { home: string; workspace: string }): Config {
  const config = structuredClone(document);
  for (const [path, row] of Object.entries(configKeys)) {
    if (row.default !== undefined && get(config, path) === undefined) set(config, path, structuredClone(row.default));
  }
  // Sections the code reads without asking whether they are there.
  for (const path of ['gateway.auth', 'channels']) if (get(config, path) === undefined) set(config, path, {});
  if (get(config, 'agents.defaults.workspace') === undefined) set(config, 'agents.defaults.workspace', workspace);
  const expand = (path: string) => {
    const value = get(config, path);
    if (typeof value === 'string') set(config, path, value.replace(/^~(?=\/|$)/, home));
  };
  for (const path of ['agents.defaults.workspace', 'logging.file', 'channels.telegram.tokenFile']) expand(path);
  for (const id of Object.keys((get(config, 'channels.telegram.accounts') as Json | undefined) ?? {}))
    expand(`channels.telegram.accounts.${id}.tokenFile`);
  return config as unknown as Config;
}

/** @param path key names joined by dots. */
export function get(object: Json, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined), object);
}

function set(object: Json, path: string, value: unknown): void {
  const keys = path.split('.');
  let target = object;
  for (const key of keys.slice(0, -1)) {
    if (!isObject(target[key])) target[key] = {};
    target = target[key] as Json;
  }
  target[keys.at(-1) as string] = value;
}
