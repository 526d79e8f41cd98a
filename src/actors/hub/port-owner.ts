/** Finds who listens on a TCP port, so that "port in use" can name the culprit. Linux only; elsewhere it knows nothing. */
import { readdir, readFile, readlink } from 'node:fs/promises';

export interface PortOwner {
  pid: number;
  command: string;
}

const LISTEN = '0A';

export async function findPortOwner(port: number): Promise<PortOwner | undefined> {
  try {
    const inodes = await listeningInodes(port);
    if (inodes.size === 0) return undefined;
    for (const entry of await readdir('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      if (await holdsSocket(entry, inodes)) return { pid: Number(entry), command: await commandOf(entry) };
    }
  } catch {
    // No /proc, or not ours to read: the message then names the port alone.
  }
  return undefined;
}

async function listeningInodes(port: number): Promise<Set<string>> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const lines = (await readFile(table, 'utf8').catch(() => '')).split('\n').slice(1);
    for (const line of lines) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === LISTEN && local?.endsWith(`:${hex}`) && inode !== undefined) inodes.add(`socket:[${inode}]`);
    }
  }
  return inodes;
}

async function holdsSocket(pid: string, inodes: Set<string>): Promise<boolean> {
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const descriptor of descriptors) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
    if (inodes.has(target)) return true;
  }
  return false;
}

/** The program and its first words; later arguments may hold secrets. */
async function commandOf(pid: string): Promise<string> {
  const parts = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').filter(Boolean);
  return parts.slice(0, 3).join(' ').slice(0, 120) || 'unknown';
}
