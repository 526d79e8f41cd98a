import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const status = defineMethod({
  name: 'status',
  summary: 'Summary of channels, conversations and what waits to be told.',
  params: Type.Object({}),
  errors: ['UNAVAILABLE'],
  handle: ({ ctx }) => ctx.status(),
});
