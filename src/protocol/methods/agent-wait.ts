import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const agentWait = defineMethod({
  name: 'agent.wait',
  summary: 'Waits for the end of a run without ever ending it.',
  params: Type.Object(
    { runId: Type.String({ minLength: 1 }), timeoutMs: Type.Optional(Type.Integer({ minimum: 0 })) },
    { additionalProperties: false },
  ),
  errors: [],
  waits: true,
  handle: ({ params, ctx }) => ctx.runs.wait(params.runId, params.timeoutMs ?? 30_000),
});
