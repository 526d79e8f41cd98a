/** Where conversations live: which shard, under which id. */
import type { ChildSpec, Env, SupervisorSpec } from '../../machines/child-spec.ts';
import { supervisor } from '../../machines/supervisor.ts';

const shardCount = 16;

export const shardOf = (sessionKey: string): string => `shard:${hash(sessionKey) % shardCount}`;

export const shardSpec = (id: string, systemId: string, env: Env): ChildSpec => ({
  id,
  systemId,
  logic: supervisor,
  input: {
    spec: {
      name: id,
      strategy: 'one_for_one',
      drain: 'together',
      intensity: { max: 5, withinMs: 300_000 },
      children: [],
    } satisfies SupervisorSpec,
    env,
  },
  restart: 'permanent',
  shutdownMs: 1_000,
});

/** Dots would confuse XState's event wildcards, and `@` separates the epoch. */
export const conversationId = (sessionKey: string) =>
  `conversation:${sessionKey.replaceAll('%', '%25').replaceAll('.', '%2E').replaceAll('@', '%40')}`;

function hash(text: string): number {
  let value = 0;
  for (let index = 0; index < text.length; index += 1) value = (Math.imul(value, 31) + text.charCodeAt(index)) >>> 0;
  return value;
}
