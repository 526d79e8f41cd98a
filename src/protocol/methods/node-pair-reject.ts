import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const nodePairReject = defineMethod({
  name: 'node.pair.reject',
  summary: 'Ends a request to be paired.',
  params: Type.Object({ requestId: Type.String({ minLength: 1 }) }, { additionalProperties: false }),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  async handle({ params: { requestId }, ctx }) {
    return { requestId, nodeId: await ctx.nodes.pairing.reject(requestId) };
  },
});
