import { Type } from 'typebox';
import type { RunOutcome } from '../context.ts';
import { defineMethod, FailedWith, type FinalResponse, TwoStage } from '../method.ts';

const text = Type.String({ minLength: 1 });
const optional = Type.Optional(Type.String());

/** The final response of a run, as `agent` sends it. */
export const finalOf = (outcome: RunOutcome): FinalResponse => ({
  ok: outcome.ok,
  payload: outcome.payload,
  ...(outcome.error === undefined ? {} : { error: outcome.error }),
});

export const agent = defineMethod({
  name: 'agent',
  summary: 'Runs one turn of an agent: an acknowledgement once it is on disk, the result when it ends.',
  params: Type.Object(
    {
      message: text,
      agentId: Type.Optional(text),
      to: optional,
      replyTo: optional,
      sessionId: optional,
      sessionKey: optional,
      thinking: optional,
      deliver: Type.Optional(Type.Boolean()),
      attachments: Type.Optional(Type.Array(Type.Unknown())),
      channel: optional,
      replyChannel: optional,
      accountId: optional,
      replyAccountId: optional,
      threadId: optional,
      groupId: optional,
      groupChannel: optional,
      groupSpace: optional,
      /** Seconds. */
      timeout: Type.Optional(Type.Integer({ minimum: 0 })),
      lane: optional,
      extraSystemPrompt: optional,
      idempotencyKey: text,
      label: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
      spawnedBy: optional,
    },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST', 'NOT_LINKED', 'AGENT_TIMEOUT', 'UNAVAILABLE'],
  async handle({ params, ctx }) {
    const { timeout, replyTo, replyChannel, replyAccountId, to, channel, accountId, ...rest } = params;
    const target = replyTo || to;
    const account = replyAccountId || accountId;
    const route = replyChannel || channel;
    const run = await ctx.runs.submit({
      ...rest,
      source: 'agent',
      ...(timeout === undefined || timeout === 0 ? {} : { timeoutMs: timeout * 1000 }),
      ...(target ? { to: target } : {}),
      ...(route ? { channel: route } : {}),
      ...(account ? { accountId: account } : {}),
    });
    if (run.outcome) {
      const final = finalOf(run.outcome);
      return final.ok ? final.payload : new FailedWith(final);
    }
    return new TwoStage({ runId: run.runId, status: 'accepted', acceptedAt: run.acceptedAt }, run.ended.then(finalOf), run.begin);
  },
});
