import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const nodeList = defineMethod({
  name: 'node.list',
  summary: 'Every node that is connected or paired, connected ones first.',
  params: Type.Object({}, { additionalProperties: false }),
  errors: ['UNAVAILABLE'],
  handle: ({ ctx }) => ctx.nodes.list(),
});
