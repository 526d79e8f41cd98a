/** How keys that people choose become shards and actor ids. */

/** Which of so many shards a key belongs to: the same one always. */
export function shardIndex(key: string, shards: number): number {
  let value = 0;
  for (let index = 0; index < key.length; index += 1) value = (Math.imul(value, 31) + key.charCodeAt(index)) >>> 0;
  return value % shards;
}

/** Dots would confuse XState's event wildcards, and `@` separates the epoch. */
export const escapeId = (text: string): string => text.replaceAll('%', '%25').replaceAll('.', '%2E').replaceAll('@', '%40');
