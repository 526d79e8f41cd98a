import { Type } from 'typebox';
import { defineMethod } from '../method.ts';
import { restartWish } from '../restart-wish.ts';

export const updateRun = defineMethod({
  name: 'update.run',
  summary: 'Brings newer code of this program to this machine, and lets the service manager start it.',
  params: Type.Object(
    {
      ...restartWish,
      // For all steps together. Less than a second is taken for a second.
      timeoutMs: Type.Optional(Type.Integer({ minimum: 1 })),
    },
    { additionalProperties: false },
  ),
  errors: ['UNAVAILABLE'],
  waits: true,
  handle: ({ params, ctx }) => ctx.update(params),
});
