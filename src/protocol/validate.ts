/**
 * Checks data against the definitions with AJV and says what is wrong in words a caller can act on.
 * Validators are compiled on first use: at start only the two of the handshake are needed. A release bundle carries them
 * compiled already (see `compile.ts`), because compiling the first one takes longer than all of the rest of the start.
 */
import type { ErrorObject } from 'ajv';
import { compileSchema } from './compile.ts';

export type Validate = ((data: unknown) => boolean) & { errors?: ErrorObject[] | null };

const compiled = new Map<string, Validate>();

/**
 * @param name stable name of the schema: `connect`, `req`, or `params:<method>`.
 * @returns the validator; its `errors` are those of the last call.
 */
export function validatorOf(name: string, schema: object): Validate {
  let validate = compiled.get(name);
  if (validate === undefined) {
    validate = compileSchema(name, schema);
    compiled.set(name, validate);
  }
  return validate;
}

/** `at /client: unexpected property 'x'; …`: duplicates removed, order kept (protocol 3.1). */
export function describeErrors(errors: ErrorObject[] | null | undefined): string {
  const texts = (errors ?? []).map(({ instancePath, keyword, params, message }) =>
    keyword === 'additionalProperties'
      ? `at ${instancePath || 'root'}: unexpected property '${(params as { additionalProperty: string }).additionalProperty}'`
      : `${instancePath ? `at ${instancePath}: ` : ''}${message ?? 'invalid'}`,
  );
  return [...new Set(texts)].join('; ');
}
