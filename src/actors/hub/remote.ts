/** Where a request really comes from, and whether that counts as this machine (protocol 2.6). */
import type { IncomingMessage } from 'node:http';

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
  host: string;
  origin?: string;
}

const unwrap = (address: string) => address.replace(/^::ffff:/i, '').replace(/^\[(.*)\]$/, '$1');

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
    host,
    ...(isLocal || isLoopback || untrustedProxy ? {} : { reportedIp: ip }),
    ...(headers.origin === undefined ? {} : { origin: headers.origin }),
  };
}

/** A browser says where its page came from; native clients say nothing and are let through (D-26). */
export function isOriginAllowed({ origin, host }: Remote, allowed: readonly string[]): boolean {
  if (origin === undefined) return true;
  if (allowed.includes(origin) || allowed.includes('*')) return true;
  try {
    return new URL(origin).host.toLowerCase() === host.toLowerCase();
  } catch {
    return false;
  }
}
