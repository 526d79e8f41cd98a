import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

const text = Type.String({ minLength: 1 });

export const send = defineMethod({
  name: 'send',
  summary: 'Sends one message through a channel.',
  params: Type.Object(
    {
      to: text,
      message: text,
      mediaUrl: Type.Optional(Type.String()),
      mediaUrls: Type.Optional(Type.Array(Type.String())),
      gifPlayback: Type.Optional(Type.Boolean()),
      channel: Type.Optional(Type.String()),
      accountId: Type.Optional(Type.String()),
      sessionKey: Type.Optional(Type.String()),
      idempotencyKey: text,
    },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST', 'NOT_LINKED', 'UNAVAILABLE'],
  waits: true,
  // Clients resend after a dropped connection. The key, not the text, says that it is the same message.
  handle: ({ params, ctx }) => ctx.send(params),
});
