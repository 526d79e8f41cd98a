import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const chatHistory = defineMethod({
  name: 'chat.history',
  summary: 'The newest messages of a conversation, oldest first.',
  params: Type.Object(
    { sessionKey: Type.String({ minLength: 1 }), limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })) },
    { additionalProperties: false },
  ),
  errors: ['UNAVAILABLE'],
  handle: ({ params, ctx }) => ctx.history(params.sessionKey, params.limit ?? 200),
});
