/** Version of the product, from its own manifest; a bundle has it written in. */
import { readFileSync } from 'node:fs';

declare const OPENCLAW_VERSION: string | undefined;

export const version: string =
  typeof OPENCLAW_VERSION === 'string'
    ? OPENCLAW_VERSION
    : (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
