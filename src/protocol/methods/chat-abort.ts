import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

const text = Type.String({ minLength: 1 });

export const chatAbort = defineMethod({
  name: 'chat.abort',
  summary: 'Ends one run, or all runs of a conversation.',
  params: Type.Object({ sessionKey: text, runId: Type.Optional(text) }, { additionalProperties: false }),
  errors: ['INVALID_REQUEST'],
  async handle({ params, ctx }) {
    const runIds = await ctx.runs.abort(params.sessionKey, params.runId, 'rpc');
    return { ok: true, aborted: runIds.length > 0, runIds };
  },
});
