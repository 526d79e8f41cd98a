/** Addresses of this machine. */
import { hostname, networkInterfaces } from 'node:os';

const all = () => Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));

export const isLoopback = (address: string): boolean => /^127\./.test(address) || address === '::1';

export const hasAddress = (address: string): boolean => isLoopbackV4(address) || all().includes(address);
const isLoopbackV4 = (address: string) => /^127\./.test(address);

/** The first address in 100.64.0.0/10. */
export const tailnetAddress = (): string | undefined =>
  all().find((address) => /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.\d+$/.test(address));

/** @param host as a URL spells it, IPv6 in brackets. */
export function isThisMachine(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '');
  return name === 'localhost' || isLoopback(name) || name.toLowerCase() === hostname().toLowerCase() || all().includes(name);
}
