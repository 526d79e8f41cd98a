import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const logsTail = defineMethod({
  name: 'logs.tail',
  summary: 'Lines of the log file from a position on.',
  params: Type.Object(
    {
      cursor: Type.Optional(Type.Integer({ minimum: 0 })),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 5000 })),
      maxBytes: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
    },
    { additionalProperties: false },
  ),
  errors: ['UNAVAILABLE'],
  handle: ({ params, ctx }) => ctx.logs(params),
});
