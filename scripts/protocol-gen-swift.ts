/**
 * Writes the Swift models of the protocol. Each argument is a file to write; the macOS target and the shared kit get the
 * same bytes. Without one: `dist/swift/GatewayModels.swift`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorCodes } from '../src/protocol/errors.ts';
import { PROTOCOL_VERSION } from '../src/protocol/frames.ts';
import { definitions } from '../src/protocol/schema.ts';
import { swiftModels } from './swift-models.ts';

const given = process.argv.slice(2);
const standard = join(dirname(fileURLToPath(import.meta.url)), '..', 'dist', 'swift', 'GatewayModels.swift');
const text = swiftModels({ version: PROTOCOL_VERSION, errorCodes: Object.keys(errorCodes), definitions: definitions() });

for (const path of given.length > 0 ? given.map((name) => resolve(name)) : [standard]) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  console.log(path);
}
