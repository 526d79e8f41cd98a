/** Where a request really comes from, and whether that counts as this machine (protocol 2.6). */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';

export interface Remote {
  /** Address of the client, IPv4-mapped IPv6 unwrapped. */
  ip: string;
  isLoopback: boolean;
  /** Loopback, a local `Host` name, and no forwarding header of a stranger. */
  isLocal: boolean;
  /** What pairing and presence may show; absent when it says nothing. */
  reportedIp?: string;
  /** Forwarding headers came from a peer that is not a trusted proxy. */
  untrustedProxy: boolean;
  /** The authority a browser believes to talk to: `Host`, or what a trusted proxy says it was. */
  host: string;
  origin?: string;
}

/** Which pages may talk to this gateway (`gateway.controlUi`), besides its own. */
export interface OriginRules {
  allowedOrigins: readonly string[];
  allowedHosts: readonly string[];
}

/** The bare address: brackets, a port and the mapping of IPv4 into IPv6 are taken off. */
const unwrap = (address: string) =>
  address
    .replace(/^\[(.*)\](:\d+)?$/, '$1')
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    .replace(/^::ffff:/i, '');

export const isLoopbackAddress = (address: string) => /^127\./.test(address) || address === '::1';

/** Host name of a `Host` or `Origin` authority, without its port. */
export const hostNameOf = (authority: string) =>
  authority.startsWith('[') ? authority.slice(1, authority.indexOf(']')) : (authority.split(':')[0] ?? '');

const localNames = (name: string) => ['localhost', '127.0.0.1', '::1'].includes(name) || name.endsWith('.ts.net');

const first = (value: string | string[] | undefined) => (Array.isArray(value) ? value[0] : value)?.split(',')[0]?.trim();

export function remoteOf(request: IncomingMessage, trustedProxies: readonly string[]): Remote {
  const peer = unwrap(request.socket.remoteAddress ?? '');
  const { headers } = request;
  const forwarded = headers['x-forwarded-for'] ?? headers['x-real-ip'] ?? headers['x-forwarded-host'];
  const isTrusted = trustedProxies.includes(peer);
  const claimed = isTrusted ? (first(headers['x-forwarded-for']) ?? first(headers['x-real-ip'])) : undefined;
  const ip = unwrap(claimed || peer);
  const isLoopback = isLoopbackAddress(ip);
  const untrustedProxy = forwarded !== undefined && !isTrusted;
  const host = headers.host ?? '';
  const isLocal = isLoopback && localNames(hostNameOf(host).toLowerCase()) && !untrustedProxy;
  return {
    ip,
    isLoopback,
    isLocal,
    untrustedProxy,
    host: (isTrusted && first(headers['x-forwarded-host'])) || host,
    ...(isLocal || isLoopback || untrustedProxy ? {} : { reportedIp: ip }),
    ...(headers.origin === undefined ? {} : { origin: headers.origin }),
  };
}

/**
 * A browser says where its page came from; native clients say nothing and are let through (D-26). The host has to be one
 * of ours too: a foreign name that was made to point here has a matching origin (DNS rebinding).
 */
export function isOriginAllowed({ origin, host }: Remote, { allowedOrigins, allowedHosts }: OriginRules): boolean {
  if (origin === undefined) return true;
  const name = hostNameOf(host).toLowerCase();
  if (!isOwnName(name) && !allowedHosts.some((allowed) => allowed.toLowerCase() === name)) return false;
  if (allowedOrigins.includes(origin)) return true;
  try {
    const page = new URL(origin);
    // The same scheme for both, so that its default port is left out of both.
    return page.host !== '' && page.host === new URL(`${page.protocol}//${host}`).host;
  } catch {
    return false;
  }
}

function isOwnName(name: string): boolean {
  const own = hostname().toLowerCase();
  return isIP(name) !== 0 || localNames(name) || name === own || name === `${own}.local`;
}
