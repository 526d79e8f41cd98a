import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const inspectorHistory = defineMethod({
  name: 'inspector.history',
  summary: 'The newest records of the flight recorder.',
  params: Type.Object(
    { limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })), actor: Type.Optional(Type.String({ minLength: 1 })) },
    { additionalProperties: false },
  ),
  errors: [],
  handle: ({ params, ctx }) => ctx.inspector.history(params),
});
