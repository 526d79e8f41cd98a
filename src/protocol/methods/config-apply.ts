import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const configApply = defineMethod({
  name: 'config.apply',
  summary: 'Replaces the configuration file and restarts the gateway in place.',
  params: Type.Object(
    {
      raw: Type.String({ minLength: 1 }),
      baseHash: Type.Optional(Type.String()),
      sessionKey: Type.Optional(Type.String()),
      note: Type.Optional(Type.String()),
      restartDelayMs: Type.Optional(Type.Integer({ minimum: 0 })),
    },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  handle: ({ params, ctx }) => ctx.config.apply(params),
});
