import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const configSchema = defineMethod({
  name: 'config.schema',
  summary: 'Every configuration key: its shape, its default, what a change of it costs, and hints for a form.',
  params: Type.Object({}, { additionalProperties: false }),
  errors: [],
  handle: ({ ctx }) => ctx.config.schema(),
});
