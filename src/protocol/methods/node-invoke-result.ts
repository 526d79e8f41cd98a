import { Type } from 'typebox';
import { invalidRequest } from '../errors.ts';
import { defineMethod } from '../method.ts';
import { withoutNulls } from '../nodes.ts';

const text = Type.String({ minLength: 1 });

export const nodeInvokeResult = defineMethod({
  name: 'node.invoke.result',
  summary: 'How a command ended that this node was asked for.',
  params: Type.Object(
    {
      id: text,
      nodeId: text,
      ok: Type.Boolean(),
      payload: Type.Optional(Type.Unknown()),
      payloadJSON: Type.Optional(Type.String()),
      error: Type.Optional(Type.Object({ code: Type.Optional(text), message: Type.Optional(text) }, { additionalProperties: false })),
    },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST'],
  normalize(params) {
    const given = withoutNulls(params, ['payloadJSON', 'error']) as { payload?: unknown; payloadJSON?: unknown } | undefined;
    if (given?.payloadJSON === undefined || typeof given.payloadJSON === 'string') return given;
    const { payloadJSON, ...rest } = given;
    return { payload: payloadJSON, ...rest };
  },
  handle({ params, ctx }) {
    const { nodeId, ...result } = params;
    if (nodeId !== ctx.identity.nodeId) throw invalidRequest('nodeId mismatch');
    return ctx.nodes.settle(nodeId, result) ? { ok: true } : { ok: true, ignored: true };
  },
});
