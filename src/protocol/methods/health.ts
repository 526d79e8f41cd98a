import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const health = defineMethod({
  name: 'health',
  summary: 'Tells whether the gateway serves, and how each channel is.',
  // Loose: shipping apps send a `timeout` with it.
  params: Type.Object({ probe: Type.Optional(Type.Boolean()) }),
  errors: ['UNAVAILABLE'],
  handle: ({ params, ctx }) => ctx.health({ probe: params.probe === true }),
});
