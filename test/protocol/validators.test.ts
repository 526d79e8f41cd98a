/** What the gateway accepts and refuses is what the written schema says, in every form the validators come in. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Ajv } from 'ajv';
import { build } from 'esbuild';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { namedSchemas, standaloneValidators } from '../../scripts/compile-validators.ts';
import { connectParams, requestFrame } from '../../src/protocol/frames.ts';
import { closeReason } from '../../src/protocol/limits.ts';
import { methods } from '../../src/protocol/methods/index.ts';
import { paramsName } from '../../src/protocol/schema.ts';
import { describeErrors, validatorOf, type Validate } from '../../src/protocol/validate.ts';
import { repository } from '../support/gateway.ts';

let folder: string;
let released: (name: string) => Validate;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'openclaw-validators-'));
  const outfile = join(folder, 'compile.mjs');
  const compileAll: (belongs: () => boolean) => Promise<string> = standaloneValidators;
  const contents = await compileAll(() => true);
  await build({ stdin: { contents, resolveDir: repository }, bundle: true, platform: 'node', format: 'esm', outfile, logLevel: 'error' });
  released = ((await import(pathToFileURL(outfile).href)) as { compileSchema: typeof released }).compileSchema;
});
afterAll(() => rmSync(folder, { recursive: true }));

const written = JSON.parse(readFileSync(join(repository, 'dist', 'protocol.schema.json'), 'utf8')) as {
  definitions: Record<string, object>;
};
const ajv = new Ajv({ strict: false });

const valid: Record<string, unknown> = {
  req: { type: 'req', id: '1', method: 'health', params: {} },
  connect: {
    minProtocol: 3,
    maxProtocol: 3,
    client: { id: 'test', version: '1', platform: 'test', mode: 'test', instanceId: 'i' },
    caps: ['a'],
    permissions: { camera: true },
    device: { id: 'd', publicKey: 'p', signature: 's', signedAt: 1 },
    auth: { token: 't' },
  },
  'params:agent': { message: 'm', idempotencyKey: 'k', timeout: 5, label: 'l' },
  'params:agent.wait': { runId: 'r', timeoutMs: 0 },
  'params:chat.history': { sessionKey: 'main', limit: 10 },
  'params:chat.send': { sessionKey: 'main', message: 'm', idempotencyKey: 'k' },
  'params:chat.abort': { sessionKey: 'main', runId: 'r' },
  'params:send': { to: 't', message: 'm', idempotencyKey: 'k' },
  'params:logs.tail': { cursor: 0, limit: 5, maxBytes: 10 },
  'params:sessions.list': { limit: 1 },
  'params:config.get': {},
  'params:config.set': { raw: '{}', baseHash: 'h' },
  'params:config.patch': { raw: '{}', baseHash: 'h', sessionKey: 's', note: 'n', restartDelayMs: 0 },
  'params:update.run': { sessionKey: 's', note: 'n', restartDelayMs: 0, timeoutMs: 1 },
  'params:models.list': {},
  'params:node.invoke': { nodeId: 'n', command: 'c', params: { a: 1 }, timeoutMs: 0, idempotencyKey: 'k' },
  'params:node.invoke.result': { id: 'i', nodeId: 'n', ok: false, payloadJSON: '', error: { code: 'c', message: 'm' } },
  'params:node.event': { event: 'e', payload: null, payloadJSON: '{}' },
  'params:node.pair.request': { nodeId: 'n', displayName: 'd', caps: ['c'], commands: [], silent: true },
  'params:node.pair.verify': { nodeId: 'n', token: 't' },
};

const definitionOf = (name: string) =>
  name === 'req' ? 'RequestFrame' : name === 'connect' ? 'ConnectParams' : paramsName(name.slice('params:'.length));
const schemaOf = (name: string) =>
  name === 'req' ? requestFrame : name === 'connect' ? connectParams : methods.get(name.slice('params:'.length))?.params;

/** A value with one member somewhere replaced, removed or added. */
function broken(value: unknown, path: number[], replacement: unknown): unknown {
  if (typeof value !== 'object' || value === null) return replacement;
  const keys = [...Object.keys(value), 'surprise'];
  const [first = 0, ...rest] = path;
  const key = keys[first % keys.length] as string;
  const copy = structuredClone(value) as Record<string, unknown>;
  if (rest.length > 0) copy[key] = broken(copy[key], rest, replacement);
  else if (replacement === undefined) delete copy[key];
  else copy[key] = replacement;
  return copy;
}

describe.each(Object.keys(valid))('%s', (name) => {
  it('is validated alike from the source, from the written schema and in a release', () => {
    const source = validatorOf(name, schemaOf(name) as object);
    const document = ajv.compile(written.definitions[definitionOf(name)] as object);
    const release = released(name);
    expect(source(valid[name])).toBe(true);
    const replacement = fc.oneof(
      fc.constant(undefined),
      fc.constantFrom('', null, -1, 0, 1.5, 'text', [], {}, [''], true, 1e300),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(fc.array(fc.nat(12), { maxLength: 3 }), replacement, (path, value) => {
        const candidate = broken(valid[name], path, value);
        const verdict = document(candidate);
        expect([source(candidate), release(candidate)]).toEqual([verdict, verdict]);
        if (!verdict) expect(describeErrors(release.errors)).toBe(describeErrors(source.errors));
      }),
      { numRuns: 150 },
    );
  });
});

it('a release carries a validator for everything the source may ask for', () => {
  for (const name of namedSchemas().keys()) expect(released(name), name).toBeTypeOf('function');
  for (const name of methods.keys()) expect(released(`params:${name}`)).toBeTypeOf('function');
});

describe('the words of a refusal', () => {
  const problem = (value: unknown) => {
    const validate = validatorOf('connect', connectParams);
    validate(value);
    return describeErrors(validate.errors);
  };

  it('name the place of each problem once, in order', () => {
    expect(problem({ ...(valid['connect'] as object), x: 1, y: 1 })).toBe(
      "at root: unexpected property 'x'; at root: unexpected property 'y'",
    );
    expect(problem({ ...(valid['connect'] as object), client: { id: 'a', version: '', platform: 'p', mode: 'm', z: 1 } })).toBe(
      "at /client: unexpected property 'z'; at /client/version: must NOT have fewer than 1 characters",
    );
    expect(problem({})).toMatch(/^must have required property 'minProtocol'; /);
  });

  it('end after the first twenty', () => {
    const text = problem(Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`${n}${'x'.repeat(500)}`, n])));
    expect(text.length).toBeLessThan(4_000);
    expect(text).toMatch(/; and \d+ more$/);
  });
});

it('a close reason is cut to whole characters within 120 bytes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (reason) => {
      const cut = closeReason(reason);
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(120);
      expect(reason.startsWith(cut)).toBe(true);
      if (Buffer.byteLength(reason) <= 120) expect(cut).toBe(reason);
      else expect(Buffer.byteLength(cut)).toBeGreaterThan(116);
    }),
  );
});
