/** The table of keys as a form can be made of: one JSON Schema of the file, and a hint for each key. */
import { configKeys } from './keys.ts';
import { isSecretPath } from './secrets.ts';

export interface Hint {
  label: string;
  group: string;
  order: number;
  sensitive: boolean;
  advanced?: true;
  help?: string;
}

interface Section {
  type: 'object';
  properties: Record<string, object>;
}

/** What a change of a key costs stands beside its schema as `x-reload`: a hint has no room for it. */
export function describeConfig(): { schema: object; uiHints: Record<string, Hint> } {
  const root: Section = { type: 'object', properties: {} };
  const uiHints: Record<string, Hint> = {};
  for (const [order, [path, row]] of Object.entries(configKeys).entries()) {
    const keys = path.split('.');
    const last = keys.pop() as string;
    const section = keys.reduce((above, key) => (above.properties[key] ??= { type: 'object', properties: {} }) as Section, root);
    const common = row.default === undefined ? {} : { default: row.default };
    section.properties[last] = { ...row.schema, ...common, 'x-reload': row.reload };
    uiHints[path] = {
      label: labelOf(last),
      group: path.split('.')[0] as string,
      order,
      sensitive: isSecretPath(path),
      ...(row.inert ? { advanced: true, help: 'Accepted, and without effect in this release.' } : {}),
    };
  }
  return { schema: { $schema: 'http://json-schema.org/draft-07/schema#', ...root }, uiHints };
}

/** `maxConcurrent` → `Max concurrent` */
const labelOf = (key: string) => {
  const words = key.replace(/([a-z0-9])([A-Z])/g, (_, end: string, start: string) => `${end} ${start.toLowerCase()}`);
  return words.charAt(0).toUpperCase() + words.slice(1);
};
