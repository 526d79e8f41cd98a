import { Type } from 'typebox';
import { invalidRequest } from '../errors.ts';
import { defineMethod } from '../method.ts';
import { nodeDescription } from '../nodes.ts';

/** Every operator who may pair hears of it, so one request may not be any size. A connect cannot say more either. */
const maxChars = 64 * 1024;

export const nodePairRequest = defineMethod({
  name: 'node.pair.request',
  summary: 'Asks for a node to be paired; an operator approves or rejects it within five minutes.',
  params: Type.Object(
    { nodeId: Type.String({ minLength: 1 }), ...nodeDescription, silent: Type.Optional(Type.Boolean()) },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  async handle({ params, ctx }) {
    if (JSON.stringify(params).length > maxChars) throw invalidRequest(`the request is longer than ${maxChars} characters`);
    return { status: 'pending', ...(await ctx.nodes.pairing.request(params)) };
  },
});
