import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const modelsList = defineMethod({
  name: 'models.list',
  summary: 'The models this gateway can use.',
  params: Type.Object({}, { additionalProperties: false }),
  errors: [],
  handle: ({ ctx }) => ({ models: ctx.models() }),
});
