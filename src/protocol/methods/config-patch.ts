import { Type } from 'typebox';
import { defineMethod } from '../method.ts';
import { restartWish } from '../restart-wish.ts';

export const configPatch = defineMethod({
  name: 'config.patch',
  summary: 'Changes single keys of the configuration file, and restarts the gateway in place if they need it.',
  params: Type.Object(
    {
      // A merge patch: null removes, objects merge, everything else replaces.
      raw: Type.String({ minLength: 1 }),
      baseHash: Type.Optional(Type.String()),
      ...restartWish,
    },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  handle: ({ params, ctx }) => ctx.config.patch(params),
});
