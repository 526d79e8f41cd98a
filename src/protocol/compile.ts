/**
 * Compiles a schema into a validator, on the machine that runs it. `npm run build` replaces this module by one that holds
 * the same validators as code.
 */
import { Ajv } from 'ajv';
import type { Validate } from './validate.ts';

/** All errors are collected, nothing is coerced, removed or filled in (protocol 3.1). */
export const ajvOptions = { allErrors: true, strict: false, validateFormats: false } as const;

let ajv: Ajv | undefined;

export function compileSchema(_name: string, schema: object): Validate {
  ajv ??= new Ajv(ajvOptions);
  return ajv.compile(schema) as Validate;
}
