/** How many commands may wait at once, over all nodes, and that each of them ends. */
import { expect, it } from 'vitest';
import { createInvocations } from '../../src/actors/registry/invocations.ts';
import type { LiveNode, NodeLink } from '../../src/actors/registry/nodes.ts';

const rules = { allowCommands: [], denyCommands: [] };

function startNode(nodeId: string) {
  const sent: { payload: { id: string } }[] = [];
  const link: NodeLink = {
    connId: `connection of ${nodeId}`,
    isOpen: true,
    buffered: 0,
    remote: {},
    follows: undefined,
    send: (frame) => void sent.push(frame as (typeof sent)[number]),
  };
  const about = { caps: [], commands: ['system.run'] };
  return { sent, node: { nodeId, link, machine: { platform: 'linux' }, about, connectedAtMs: 0 } satisfies LiveNode };
}

it('a thousand wait, the next is told to come again, and the end of the gateway ends them all', async () => {
  const worlds = new Map(Array.from({ length: 17 }, (_, index) => [`n${index}`, startNode(`n${index}`)]));
  const invocations = createInvocations({ find: (nodeId) => worlds.get(nodeId)?.node, rules: () => rules, maxBufferedBytes: () => 1 });
  const ask = async (nodeId: string) => invocations.invoke({ nodeId, command: 'system.run', idempotencyKey: 'k' });
  const waiting = Array.from({ length: 1_024 }, (_, index) => ask(`n${index % 16}`));
  await expect(ask('n16')).rejects.toMatchObject({ code: 'UNAVAILABLE', message: 'too many commands wait for nodes', retryable: true });
  expect(worlds.get('n16')?.sent).toEqual([]);

  invocations.drop('connection of n0');
  const ends = await Promise.allSettled(waiting.filter((_, index) => index % 16 === 0));
  expect(new Set(ends.map(({ status }) => status))).toEqual(new Set(['rejected']));
  waiting.push(ask('n16'));
  expect(worlds.get('n16')?.sent).toHaveLength(1);

  invocations.dropAll();
  for (const end of await Promise.allSettled(waiting)) expect(end).toMatchObject({ status: 'rejected', reason: { code: 'UNAVAILABLE' } });
  const [late] = worlds.get('n16')?.sent ?? [];
  expect(invocations.settle('n16', { id: late?.payload.id ?? '', ok: true })).toBe(false);
});
