import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

const text = Type.String({ minLength: 1 });

export const nodeInvoke = defineMethod({
  name: 'node.invoke',
  summary: 'Has a connected node carry out a command, and waits for what it answers.',
  params: Type.Object(
    {
      nodeId: text,
      command: text,
      params: Type.Optional(Type.Unknown()),
      timeoutMs: Type.Optional(Type.Integer({ minimum: 0 })),
      idempotencyKey: text,
    },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  waits: true,
  async handle({ params, ctx }) {
    const { nodeId, command } = params;
    return { ok: true, nodeId, command, ...(await ctx.nodes.invoke(params)) };
  },
});
