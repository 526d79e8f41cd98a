import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const inspectorTree = defineMethod({
  name: 'inspector.tree',
  summary: 'Every live actor with its state, age, restarts and what waits in front of it.',
  params: Type.Object({}, { additionalProperties: false }),
  errors: [],
  handle: ({ ctx }) => ctx.inspector.tree(),
});
