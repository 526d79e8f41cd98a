/** How a merge patch changes the text of a configuration: what is meant, and nothing beside it. */
import fc from 'fast-check';
import JSON5 from 'json5';
import { describe, expect, it } from 'vitest';
import { patchText, readPatch } from '../../src/protocol/config/edit.ts';
import { closeText, openText } from '../../src/protocol/config/secrets.ts';

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

/** RFC 7396, word for word. */
function merge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Json = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}

const tall = `// mine
{
  // the port
  gateway: { mode: 'local', port: 1234, /* odd */ auth: { token: '\${TOKEN}' } },
  'channels': {
    telegram: { allowFrom: ["a", 'b'], }, // people
  },
  messages: {},
}
`;

describe('one key', () => {
  it.each<[story: string, text: string, patch: Json, after: string]>([
    ['a value alone is replaced', tall, { gateway: { port: 99 } }, tall.replace('1234', '99')],
    ['a list is replaced', tall, { channels: { telegram: { allowFrom: ['c'] } } }, tall.replace(`["a", 'b']`, '["c"]')],
    ['what says the same already stays as it is written', tall, { channels: { telegram: { allowFrom: ['a', 'b'] } } }, tall],
    ['nothing asked, nothing done', tall, {}, tall],
    ['a member of a line goes', tall, { gateway: { port: null } }, tall.replace('port: 1234, ', '')],
    ['the last member of a line goes with its comma', `{a: {b: 1, c: 2}}`, { a: { c: null } }, `{a: {b: 1}}`],
    ['a line goes', tall, { messages: null }, tall.replace('\n  messages: {},', '')],
    ['a key that is not there is not missed', tall, { nothing: null }, tall],
    [
      'a key is added in the way of its neighbours',
      tall,
      { logging: { level: 'debug' } },
      tall.replace('  messages: {},\n', `  messages: {},\n  logging: {\n    level: "debug"\n  },\n`),
    ],
    ['a key is added to a line', tall, { messages: { x: 1 } }, tall.replace('messages: {}', 'messages: { x: 1 }')],
    ['plain JSON stays plain JSON', '{"a":1}', { b: { c: [1] } }, '{"a":1, "b": { "c": [1] }}'],
    ['a comma that was needed is not left behind', '{\n  "a": 1,\n  "b": 2\n}\n', { b: null }, '{\n  "a": 1\n}\n'],
    ['a comment behind the last key stays with it', '{\n  a: 1 // one\n}', { b: 2 }, '{\n  a: 1, // one\n  b: 2\n}'],
    ['the line ends of the file are kept', '{\r\n\ta: 1\r\n}\r\n', { b: { c: 2 } }, '{\r\n\ta: 1,\r\n\tb: {\r\n\t\tc: 2\r\n\t}\r\n}\r\n'],
    ['no file is an empty one', '', { a: 1 }, '{\n  "a": 1\n}\n'],
    ['a byte order mark stays', '\uFEFF{a: 1}', { a: 2 }, '\uFEFF{a: 2}'],
    ['an object takes the place of a value, without what it would remove', '{a: 1}', { a: { b: null, c: 2 } }, '{a: { c: 2 }}'],
  ])('%s', (_story, text, patch, after) => {
    expect(patchText(text, patch)).toBe(after);
  });
});

/** Values as a configuration holds them, in any of the ways in which JSON5 lets people write them. */
const keys = fc.constantFrom('a', 'b', 'cc', 'd-e', '7', '$f', 'a.b', "it's", 'ü');
const values = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.jsonValue({ maxDepth: 0 }).filter((value) => value !== null && !Object.is(value, -0)),
    tie('object'),
    fc.array(tie('value'), { maxLength: 3 }),
  ),
  object: fc.dictionary(keys, tie('value'), { maxKeys: 5 }),
}));
const patches = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.constant(null),
    fc.jsonValue({ maxDepth: 1 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown),
    tie('object'),
    tie('object'),
  ),
  object: fc.dictionary(keys, tie('value'), { maxKeys: 5 }),
}));

/** The text of a value, with blanks, comments, quotes and commas by chance. */
function write(value: unknown, chance: () => number): string {
  const blank = () => ['', ' ', '\n  ', ' /* c, "x" */ ', ' // c: }\n', '\r\n\t', ''][chance() % 7] as string;
  const end = (count: number) => (count > 0 && chance() % 2 === 0 ? `,${blank()}` : '');
  if (Array.isArray(value)) return `[${value.map((item) => blank() + write(item, chance) + blank()).join(',')}${end(value.length)}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const parts = Object.entries(value).map(([key, item]) => {
    const written =
      /^[a-z]+$/.test(key) && chance() % 2 === 0 ? key : chance() % 2 === 0 ? JSON.stringify(key) : `'${key.replace("'", "\\'")}'`;
    return `${blank()}${written}${blank()}:${blank()}${write(item, chance)}${blank()}`;
  });
  return `${`{${parts.join(',')}`}${end(parts.length)}${blank()}}`;
}

it('C-117 a patch means what RFC 7396 says, whatever the text looks like', () => {
  fc.assert(
    fc.property(values.object, patches.object, fc.infiniteStream(fc.nat(1_000)), (document, patch, stream) => {
      const chance = () => stream.next().value as number;
      const text = `// head\n${write(document, chance)}\n`;
      expect(JSON5.parse(text)).toEqual(document);
      const after = patchText(text, patch as Json);
      expect(JSON5.parse(after)).toEqual(merge(document, patch));
      expect(after.startsWith('// head\n')).toBe(true);
      // Once more changes nothing.
      expect(patchText(after, patch as Json)).toBe(after);
    }),
    { numRuns: 1_500 },
  );
});

it('C-117 what is no object is no patch', () => {
  for (const raw of ['[1]', '"a"', '7', 'null', '{', '{a:'.repeat(70) + '1' + '}'.repeat(70)])
    expect(readPatch(raw), raw).toHaveProperty('problem');
  expect(readPatch("{a: null, 'b': [1,]}")).toEqual({ patch: { a: null, b: [1] } });
});

describe('closed secrets', () => {
  const text = `{ gateway: { auth: { token: 'a \\'secret\\' of mine', "password": "two" } }, // comment\n models: { providers: { x: { apiKey: "\${KEY}" } } } }`;

  it('are put back to the letter', () => {
    const closed = closeText(text);
    expect(closed).not.toContain('secret\\');
    expect(closed).not.toContain('two');
    expect(closed).not.toContain('KEY}');
    expect(closed).toContain('// comment');
    expect(openText(closed, text)).toEqual({ text, lost: [] });
    const other = closed.replace(/secret:\w+/g, '__OPENCLAW_REDACTED__');
    expect(openText(other, text)).toEqual({ text, lost: [] });
  });

  it('of another value, or of none, are not guessed', () => {
    expect(openText(`{ gateway: { auth: { token: 'secret:00000000' } } }`, text).lost).toEqual(['gateway.auth.token']);
    expect(openText(closeText(text), '{}').lost).toEqual(['gateway.auth.token', 'gateway.auth.password', 'models.providers.x.apiKey']);
    expect(openText(closeText(text), null).lost).toHaveLength(3);
  });
});
