/** What is generated from the definitions (protocol 8). */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { swiftModels, swiftName } from '../../scripts/swift-models.ts';
import { methods } from '../../src/protocol/methods/index.ts';
import { definitions, paramsName, schemaDocument } from '../../src/protocol/schema.ts';
import { repository } from '../support/gateway.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'openclaw-schema-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const generate = (script: string, ...paths: string[]) =>
  execFileSync(process.execPath, [join(repository, 'scripts', script), ...paths], { cwd: folder, stdio: 'pipe' });
const read = (name: string) => readFileSync(join(folder, name), 'utf8');

it('C-147 both generators write the same bytes each time', () => {
  for (const name of ['1.json', '2.json']) generate('protocol-gen.ts', join(folder, name));
  expect(read('1.json').length).toBeGreaterThan(1_000);
  expect(read('2.json')).toBe(read('1.json'));
  expect(readFileSync(join(repository, 'dist', 'protocol.schema.json'), 'utf8')).toBe(read('1.json'));
  generate('protocol-gen-swift.ts', join(folder, '1.swift'), join(folder, 'kit', '1.swift'));
  generate('protocol-gen-swift.ts', join(folder, '2.swift'));
  expect(read('1.swift').length).toBeGreaterThan(1_000);
  expect(read('2.swift')).toBe(read('1.swift'));
  // The two targets of one run are the same file.
  expect(read('kit/1.swift')).toBe(read('1.swift'));
});

describe('the schema document', () => {
  it('compiles under draft-07 with every definition, none of which refers to another', () => {
    const document = schemaDocument() as { $schema: string; definitions: Record<string, object> };
    expect(document.$schema).toBe('http://json-schema.org/draft-07/schema#');
    // `discriminator` is an OpenAPI word that AJV would read in a stricter way of its own.
    const ajv = new Ajv({ strict: false });
    ajv.compile(document);
    for (const schema of Object.values(document.definitions)) {
      ajv.compile(schema);
      expect(JSON.stringify(schema)).not.toContain('$ref');
    }
  });

  it('holds the very objects that requests are validated with', () => {
    const all = definitions();
    for (const { name, params } of methods.values()) {
      const definition = all[paramsName(name)];
      if (definition !== undefined) expect(definition).toBe(params);
    }
  });
});

describe('the Swift models', () => {
  const swift = () => swiftModels({ version: 3, errorCodes: ['NOT_LINKED'], definitions: definitions() });

  it.each([
    ['minProtocol', 'minprotocol'],
    ['stateVersion', 'stateversion'],
    ['NOT_LINKED', 'notLinked'],
    ['protocol', '_protocol'],
    ['chat.history-limit', 'chatHistoryLimit'],
    ['default', '_default'],
  ])('spell %s as %s', (key, name) => expect(swiftName(key)).toBe(name));

  it('have one struct for each definition that is an object, in order, and the frame enum last', () => {
    const names = [...swift().matchAll(/^public struct (\w+): Codable, Sendable \{$/gm)].map(([, name]) => name);
    expect(names).toEqual(
      Object.entries(definitions()).flatMap(([name, schema]) => ((schema as { type?: string }).type === 'object' ? [name] : [])),
    );
    expect(names).not.toContain('GatewayFrame');
    const [, frames = ''] = swift().split('public enum GatewayFrame: Codable, Sendable {');
    expect([...frames.matchAll(/^ {4}case (\w+)\(/gm)].map(([, name]) => name)).toEqual(['req', 'res', 'event', 'unknown']);
    expect(frames).not.toContain('public struct');
  });

  it.each([
    ['HelloOk', '_protocol: Int'],
    ['HelloOk', 'snapshot: Snapshot'],
    ['Snapshot', 'presence: [PresenceEntry]'],
    ['Snapshot', 'stateversion: StateVersion'],
    ['Snapshot', 'health: AnyCodable'],
    ['EventFrame', 'stateversion: [String: AnyCodable]?'],
    ['ResponseFrame', 'error: [String: AnyCodable]?'],
    ['AgentEvent', 'data: [String: AnyCodable]'],
    ['ChatEvent', 'state: AnyCodable'],
    ['RequestFrame', 'type: String'],
    ['TickEvent', 'ts: Int'],
    ['ConnectParams', 'caps: [String]?'],
  ])('give %s the member %s', (name, member) => {
    const [, body = ''] = swift().split(`public struct ${name}: Codable, Sendable {`);
    const [struct = ''] = body.split('\npublic ');
    expect(struct).toContain(`    public let ${member}\n`);
  });

  it('give a definition without members neither members nor an initializer', () => {
    const empty = { type: 'object', properties: {} };
    expect(swiftModels({ version: 3, errorCodes: [], definitions: { Empty: empty } })).toContain(
      'public struct Empty: Codable, Sendable {\n}\n',
    );
  });
});
