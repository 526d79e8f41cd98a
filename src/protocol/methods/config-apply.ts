import { Type } from 'typebox';
import { defineMethod } from '../method.ts';
import { restartWish } from '../restart-wish.ts';

export const configApply = defineMethod({
  name: 'config.apply',
  summary: 'Replaces the configuration file and restarts the gateway in place.',
  params: Type.Object(
    {
      raw: Type.String({ minLength: 1 }),
      baseHash: Type.Optional(Type.String()),
      ...restartWish,
    },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  handle: ({ params, ctx }) => ctx.config.apply(params),
});
