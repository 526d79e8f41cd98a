import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const nodePairList = defineMethod({
  name: 'node.pair.list',
  summary: 'Requests that wait for an answer, and paired nodes; newest first, without tokens.',
  params: Type.Object({}, { additionalProperties: false }),
  errors: ['UNAVAILABLE'],
  handle: ({ ctx }) => ctx.nodes.pairing.list(),
});
