/**
 * Writes the JSON Schema of the protocol from its definitions: `dist/protocol.schema.json`. The same definitions twice give
 * the same bytes. Another file may be named. With `--check` nothing is written and a stale file is an error.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { schemaDocument } from '../src/protocol/schema.ts';

const named = process.argv.slice(2).find((word) => !word.startsWith('--'));
const path = named ?? join(dirname(fileURLToPath(import.meta.url)), '..', 'dist', 'protocol.schema.json');
const text = `${JSON.stringify(schemaDocument(), null, 2)}\n`;

if (process.argv.includes('--check')) {
  const found = (() => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  })();
  if (found !== text) {
    console.error('dist/protocol.schema.json is not current; write it with: npm run protocol:gen');
    process.exit(1);
  }
} else {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  console.log(path);
}
