import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const nodeDescribe = defineMethod({
  name: 'node.describe',
  summary: 'One node that is connected or paired.',
  params: Type.Object({ nodeId: Type.String({ minLength: 1 }) }, { additionalProperties: false }),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  handle: ({ params, ctx }) => ctx.nodes.describe(params.nodeId),
});
