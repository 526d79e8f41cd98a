/**
 * Takes the place of `typebox` in a release, where the definitions are only read and every validator is compiled already:
 * makes the same JSON Schema as plain objects, in a tenth of the time. The build compares the two for every schema.
 */
type Schema = Record<string | symbol, unknown>;

const optional = Symbol('optional');
const withOptions = (schema: Schema, options: object = {}): Schema => ({ ...schema, ...options });

export const Type = {
  String: (options?: object) => withOptions({ type: 'string' }, options),
  Integer: (options?: object) => withOptions({ type: 'integer' }, options),
  Number: (options?: object) => withOptions({ type: 'number' }, options),
  Boolean: (options?: object) => withOptions({ type: 'boolean' }, options),
  Unknown: (options?: object) => withOptions({}, options),
  Literal: (value: string | number | boolean, options?: object) => withOptions({ type: typeof value, const: value }, options),
  Union: (anyOf: Schema[], options?: object) => withOptions({ anyOf }, options),
  Array: (items: Schema, options?: object) => withOptions({ type: 'array', items }, options),
  Record: (key: Schema, value: Schema, options?: object) =>
    withOptions({ type: 'object', patternProperties: { [(key['pattern'] as string | undefined) ?? '^.*$']: value } }, options),
  Optional: (schema: Schema): Schema => ({ ...schema, [optional]: true }),
  Object(properties: Record<string, Schema>, options?: object) {
    const required = Object.keys(properties).filter((name) => properties[name]?.[optional] !== true);
    return withOptions({ type: 'object', ...(required.length > 0 ? { required } : {}), properties }, options);
  },
};
