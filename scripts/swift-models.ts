/**
 * The definitions of the protocol as Swift source (protocol 8.2). Shipping apps compile against exactly these names and
 * types, losses included: an optional property forgets which definition it is made of, a required one does not.
 */

interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  const?: unknown;
}

const reservedWords = new Set(
  `associatedtype class deinit enum extension fileprivate func import init inout internal let open operator private
   precedencegroup protocol public rethrows static struct subscript typealias var break case catch continue default defer do
   else fallthrough for guard if in repeat return throw switch where while as false is nil self super throws true try any`.split(/\s+/),
);

/** `minProtocol` → `minprotocol`, `NOT_LINKED` → `notLinked`, `protocol` → `_protocol` */
export function swiftName(key: string): string {
  const pieces = key
    .split(/[^A-Za-z0-9]+/)
    .filter(Boolean)
    .map((piece) => piece.toLowerCase());
  const name = pieces.map((piece, index) => (index === 0 ? piece : piece.charAt(0).toUpperCase() + piece.slice(1))).join('');
  return reservedWords.has(name) || /^[0-9]/.test(name) || name === '' ? `_${name}` : name;
}

const plainTypes: Record<string, string> = { string: 'String', integer: 'Int', number: 'Double', boolean: 'Bool' };

function swiftType(schema: Schema, nameOf: ReadonlyMap<Schema, string>): string {
  const name = nameOf.get(schema);
  if (name !== undefined && schema.type === 'object') return name;
  if (schema.type === 'array') return `[${swiftType(schema.items ?? {}, nameOf)}]`;
  if (schema.type === 'object') return '[String: AnyCodable]';
  return plainTypes[schema.type ?? ''] ?? 'AnyCodable';
}

function structOf(name: string, schema: Schema, nameOf: ReadonlyMap<Schema, string>): string {
  const required = new Set(schema.required);
  const members = Object.entries(schema.properties ?? {}).map(([key, property]) => ({
    key,
    name: swiftName(key),
    type: required.has(key) ? swiftType(property, nameOf) : `${swiftType(property, new Map())}?`,
  }));
  if (members.length === 0) return `public struct ${name}: Codable, Sendable {\n}\n`;
  return [
    `public struct ${name}: Codable, Sendable {`,
    ...members.map((member) => `    public let ${member.name}: ${member.type}`),
    '',
    '    public init(',
    members.map((member) => `        ${member.name}: ${member.type}`).join(',\n'),
    '    ) {',
    ...members.map((member) => `        self.${member.name} = ${member.name}`),
    '    }',
    '',
    '    private enum CodingKeys: String, CodingKey {',
    ...members.map((member) => `        case ${member.name}${member.name === member.key ? '' : ` = "${member.key}"`}`),
    '    }',
    '}',
    '',
  ].join('\n');
}

const frameEnum = `public enum GatewayFrame: Codable, Sendable {
    case req(RequestFrame)
    case res(ResponseFrame)
    case event(EventFrame)
    case unknown(type: String, raw: [String: AnyCodable])

    private enum CodingKeys: String, CodingKey {
        case type
    }

    public init(from decoder: Decoder) throws {
        let type = try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .type)
        switch type {
        case "req":
            self = .req(try RequestFrame(from: decoder))
        case "res":
            self = .res(try ResponseFrame(from: decoder))
        case "event":
            self = .event(try EventFrame(from: decoder))
        default:
            self = .unknown(type: type, raw: try [String: AnyCodable](from: decoder))
        }
    }

    public func encode(to encoder: Encoder) throws {
        switch self {
        case let .req(frame):
            try frame.encode(to: encoder)
        case let .res(frame):
            try frame.encode(to: encoder)
        case let .event(frame):
            try frame.encode(to: encoder)
        case let .unknown(_, raw):
            try raw.encode(to: encoder)
        }
    }
}
`;

export function swiftModels(input: { version: number; errorCodes: readonly string[]; definitions: Record<string, object> }): string {
  const schemas = Object.entries(input.definitions) as [string, Schema][];
  const nameOf = new Map(schemas.map(([name, schema]) => [schema, name]));
  const structs = schemas.filter(([, schema]) => schema.type === 'object').map(([name, schema]) => structOf(name, schema, nameOf));
  return [
    '// Generated from the protocol definitions by `npm run protocol:gen:swift`. Do not edit.\n',
    'import Foundation\n',
    `public let GATEWAY_PROTOCOL_VERSION = ${input.version}\n`,
    [
      'public enum ErrorCode: String, Codable, Sendable {',
      ...input.errorCodes.map((code) => `    case ${swiftName(code)} = "${code}"`),
      '}\n',
    ].join('\n'),
    ...structs,
    frameEnum,
  ].join('\n');
}
