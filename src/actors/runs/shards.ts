/** Where conversations live: which shard, under which id. */
import type { ChildSpec, Env, SupervisorSpec } from '../../machines/child-spec.ts';
import { supervisor } from '../../machines/supervisor.ts';
import { escapeId, shardIndex } from '../sharding.ts';

const shardCount = 16;

export const shardOf = (sessionKey: string): string => `shard:${shardIndex(sessionKey, shardCount)}`;

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

export const conversationId = (sessionKey: string) => `conversation:${escapeId(sessionKey)}`;
