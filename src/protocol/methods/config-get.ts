import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const configGet = defineMethod({
  name: 'config.get',
  summary: 'The configuration in force, its file and its problems; secrets are closed.',
  params: Type.Object({}, { additionalProperties: false }),
  errors: [],
  handle: ({ ctx }) => ctx.config.get(),
});
