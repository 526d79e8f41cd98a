import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const configSet = defineMethod({
  name: 'config.set',
  summary: 'Replaces the configuration file, and no more: the next restart takes it over.',
  params: Type.Object(
    {
      raw: Type.String({ minLength: 1 }),
      // Of the text that the caller has changed: a change of somebody else in between must not be lost.
      baseHash: Type.Optional(Type.String()),
    },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  handle: ({ params, ctx }) => ctx.config.set(params),
});
