/**
 * All validators of the gateway as one module of plain code, made by AJV ahead of time. Takes the place of
 * `src/protocol/compile.ts` in a release.
 */
import { Ajv } from 'ajv';
import standalone from 'ajv/dist/standalone/index.js';
import { createTools } from '../src/actors/runs/tools/index.ts';
import { ajvOptions } from '../src/protocol/compile.ts';
import { configKeys } from '../src/protocol/config/keys.ts';
import { connectParams, requestFrame } from '../src/protocol/frames.ts';
import { methods } from '../src/protocol/methods/index.ts';

/** Everything `validatorOf` is ever asked for, by its name. */
export function namedSchemas(): Map<string, object> {
  const unused = () => {
    throw new Error('a tool is only described here, never run');
  };
  const tools = createTools({
    store: unused,
    status: unused,
    sessions: unused,
    now: () => 0,
    workspace: '',
    exec: { security: 'full', allowlist: [], timeoutSeconds: 1 },
    groups: new Set(),
    env: {},
  });
  return new Map<string, object>([
    ['connect', connectParams],
    ['req', requestFrame],
    ...[...methods.values()].map(({ name, params }): [string, object] => [`params:${name}`, params]),
    ...Object.entries(configKeys).map(([name, { schema }]): [string, object] => [`config:${name}`, schema]),
    ...tools.map(({ name, parameters }): [string, object] => [`tool:${name}`, parameters]),
  ]);
}

/** @param belongs whether a validator is part of this bundle. */
export async function standaloneValidators(belongs: (name: string) => boolean): Promise<string> {
  const ajv = new Ajv({ ...ajvOptions, code: { source: true, esm: true, lines: false } });
  const names: Record<string, string> = {};
  const rows: string[] = [];
  for (const [name, schema] of namedSchemas()) {
    if (!belongs(name)) continue;
    const id = `v${rows.length}`;
    // A copy: AJV knows schemas by identity, and some are used under two names.
    ajv.addSchema(JSON.parse(JSON.stringify(schema)) as object, id);
    names[id] = id;
    rows.push(`[${JSON.stringify(name)}, ${id}]`);
  }
  const generate = (standalone as unknown as { default: typeof standalone }).default ?? standalone;
  const code = (generate as unknown as (ajv: Ajv, names: Record<string, string>) => string)(ajv, names);
  return `${code}
const table = new Map([${rows.join(', ')}]);
export function compileSchema(name) {
  const validate = table.get(name);
  if (validate === undefined) throw new Error('no validator was compiled for ' + name);
  return validate;
}
export const ajvOptions = {};
`;
}
