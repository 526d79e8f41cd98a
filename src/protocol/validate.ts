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

/** Whoever makes more mistakes than this is told of the first ones: the text is for a person. */
const maxProblems = 20;
const maxNameChars = 64;

/** `at /client: unexpected property 'x'; …`: duplicates removed, order kept (protocol 3.1). */
export function describeErrors(errors: ErrorObject[] | null | undefined): string {
  const problems = errors ?? [];
  const texts = new Set(problems.slice(0, maxProblems).map(describeError));
  if (problems.length > maxProblems) texts.add(`and ${problems.length - maxProblems} more`);
  return [...texts].join('; ');
}

function describeError({ instancePath, keyword, params, message }: ErrorObject): string {
  const where = instancePath.slice(0, maxNameChars);
  if (keyword !== 'additionalProperties') return `${where ? `at ${where}: ` : ''}${message ?? 'invalid'}`;
  const { additionalProperty } = params as { additionalProperty: string };
  return `at ${where || 'root'}: unexpected property '${additionalProperty.slice(0, maxNameChars)}'`;
}
