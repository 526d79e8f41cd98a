/** Local or remote, and which pages are ours (protocol 2.6, http.md 5.2). */
import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { isOriginAllowed, remoteOf } from '../../src/actors/hub/remote.ts';

const request = (remoteAddress: string, headers: Record<string, string>) =>
  ({ socket: { remoteAddress }, headers }) as unknown as IncomingMessage;

it.each<[string, string, Record<string, string>, string[], { ip: string; isLocal: boolean; reportedIp?: string }]>([
  ['loopback by its number', '127.0.0.1', { host: '127.0.0.1:18789' }, [], { ip: '127.0.0.1', isLocal: true }],
  ['loopback of IPv6', '::1', { host: '[::1]:18789' }, [], { ip: '::1', isLocal: true }],
  ['loopback mapped into IPv6', '::ffff:127.0.0.1', { host: 'localhost' }, [], { ip: '127.0.0.1', isLocal: true }],
  ['a name of the tailnet', '127.0.0.1', { host: 'box.tail1.ts.net' }, [], { ip: '127.0.0.1', isLocal: true }],
  ['loopback by a foreign name', '127.0.0.1', { host: 'example.com' }, [], { ip: '127.0.0.1', isLocal: false }],
  ['another machine', '192.168.1.9', { host: 'localhost' }, [], { ip: '192.168.1.9', isLocal: false, reportedIp: '192.168.1.9' }],
  ['a proxy nobody trusts', '127.0.0.1', { host: 'localhost', 'x-forwarded-for': '1.2.3.4' }, [], { ip: '127.0.0.1', isLocal: false }],
  [
    'a trusted proxy',
    '127.0.0.1',
    { host: 'localhost', 'x-forwarded-for': '1.2.3.4, 5.6.7.8' },
    ['127.0.0.1'],
    { ip: '1.2.3.4', isLocal: false, reportedIp: '1.2.3.4' },
  ],
  [
    'a trusted proxy with the other header and a port',
    '127.0.0.1',
    { host: 'localhost', 'x-real-ip': '1.2.3.4:5678' },
    ['127.0.0.1'],
    { ip: '1.2.3.4', isLocal: false, reportedIp: '1.2.3.4' },
  ],
])('%s', (_name, peer, headers, trusted, expected) => {
  const { ip, isLocal, reportedIp } = remoteOf(request(peer, headers), trusted);
  expect({ ip, isLocal, ...(reportedIp === undefined ? {} : { reportedIp }) }).toEqual(expected);
});

describe('the page of a browser', () => {
  const allowed = (host: string, origin: string, rules: { origins?: string[]; hosts?: string[] } = {}, more: Record<string, string> = {}) =>
    isOriginAllowed(remoteOf(request('127.0.0.1', { host, origin, ...more }), more['x-forwarded-host'] ? ['127.0.0.1'] : []), {
      allowedOrigins: rules.origins ?? [],
      allowedHosts: rules.hosts ?? [],
    });

  it.each<[string, boolean, Parameters<typeof allowed>]>([
    ['its own address', true, ['127.0.0.1:18789', 'http://127.0.0.1:18789']],
    ['another port', false, ['127.0.0.1:18789', 'http://127.0.0.1:18790']],
    ['the default port, said and unsaid', true, ['localhost:443', 'https://localhost']],
    ['IPv6', true, ['[::1]:18789', 'http://[::1]:18789']],
    ['a sandboxed page', false, ['localhost', 'null']],
    ['nonsense', false, ['localhost', 'http://']],
    ['a listed origin', true, ['localhost:18789', 'https://panel.example', { origins: ['https://panel.example'] }]],
    [
      'an origin that only begins like a listed one',
      false,
      ['localhost', 'https://panel.example.evil', { origins: ['https://panel.example'] }],
    ],
    ['a star, which is no wildcard', false, ['localhost', 'https://evil.example', { origins: ['*'] }]],
    ['a foreign name that points here', false, ['rebound.example', 'http://rebound.example']],
    ['a foreign name that is ours', true, ['gw.example', 'https://gw.example', { hosts: ['GW.example'] }]],
    ['what a trusted proxy was asked for', true, ['127.0.0.1:18789', 'https://box.ts.net', {}, { 'x-forwarded-host': 'box.ts.net' }]],
  ])('%s: %s', (_name, expected, args) => expect(allowed(...args)).toBe(expected));
});
