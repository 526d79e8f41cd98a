/** The version of this program: put in by the build, read from the package when it runs from source. */
import { readFileSync } from 'node:fs';

declare const OPENCLAW_VERSION: string | undefined;

export const cliVersion = (): string =>
  typeof OPENCLAW_VERSION === 'string'
    ? OPENCLAW_VERSION
    : (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
