import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const nodePairApprove = defineMethod({
  name: 'node.pair.approve',
  summary: 'Pairs a node that asked for it. The answer is the only one that shows its new token.',
  params: Type.Object({ requestId: Type.String({ minLength: 1 }) }, { additionalProperties: false }),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  async handle({ params: { requestId }, ctx }) {
    return { requestId, node: await ctx.nodes.pairing.approve(requestId) };
  },
});
