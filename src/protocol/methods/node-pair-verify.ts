import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

const text = Type.String({ minLength: 1 });

export const nodePairVerify = defineMethod({
  name: 'node.pair.verify',
  summary: 'Whether this is the token of that node.',
  params: Type.Object({ nodeId: text, token: text }, { additionalProperties: false }),
  errors: ['UNAVAILABLE'],
  async handle({ params: { nodeId, token }, ctx }) {
    const node = await ctx.nodes.pairing.verify(nodeId, token);
    return node === undefined ? { ok: false } : { ok: true, node: { ...node, token } };
  },
});
