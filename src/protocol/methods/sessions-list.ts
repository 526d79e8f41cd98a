import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

const positive = Type.Optional(Type.Integer({ minimum: 1 }));
const flag = Type.Optional(Type.Boolean());

export const sessionsList = defineMethod({
  name: 'sessions.list',
  summary: 'Conversations, newest first.',
  params: Type.Object(
    {
      limit: positive,
      activeMinutes: positive,
      includeGlobal: flag,
      includeUnknown: flag,
      includeDerivedTitles: flag,
      includeLastMessage: flag,
      label: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
      spawnedBy: Type.Optional(Type.String({ minLength: 1 })),
      agentId: Type.Optional(Type.String({ minLength: 1 })),
      search: Type.Optional(Type.String()),
    },
    { additionalProperties: false },
  ),
  errors: ['UNAVAILABLE'],
  handle: ({ params, ctx }) => ctx.sessions(params),
});
