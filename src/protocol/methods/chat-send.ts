import { Type } from 'typebox';
import { invalidRequest } from '../errors.ts';
import { defineMethod, FailedWith } from '../method.ts';
import { finalOf } from './agent.ts';

/** Whole texts that end what is going on instead of starting something (protocol 4.3). */
const stopPhrases = new Set(['/stop', 'stop', 'esc', 'abort', 'wait', 'exit', 'interrupt']);

export const isStopPhrase = (text: string): boolean => stopPhrases.has(text.trim().toLowerCase());

export const chatSend = defineMethod({
  name: 'chat.send',
  summary: 'Says something in a conversation; the answer arrives as events.',
  params: Type.Object(
    {
      sessionKey: Type.String({ minLength: 1 }),
      message: Type.String(),
      thinking: Type.Optional(Type.String()),
      deliver: Type.Optional(Type.Boolean()),
      attachments: Type.Optional(Type.Array(Type.Unknown())),
      timeoutMs: Type.Optional(Type.Integer({ minimum: 0 })),
      idempotencyKey: Type.String({ minLength: 1 }),
    },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  async handle({ params, ctx }) {
    const { sessionKey, message, attachments = [], timeoutMs, idempotencyKey, thinking } = params;
    if (message.trim() === '' && attachments.length === 0) throw invalidRequest('message or attachment required');
    if (isStopPhrase(message)) {
      const runIds = await ctx.runs.abort(sessionKey, undefined, 'stop');
      return { ok: true, aborted: runIds.length > 0, runIds, runId: idempotencyKey, status: 'ok' };
    }
    const run = await ctx.runs.submit({
      idempotencyKey,
      message,
      sessionKey,
      source: 'chat',
      attachments,
      ...(timeoutMs ? { timeoutMs } : {}),
      ...(thinking === undefined ? {} : { thinking }),
    });
    setImmediate(run.begin);
    if (run.outcome === undefined) return { runId: run.runId, status: run.created ? 'started' : 'in_flight' };
    if (run.outcome.ok) return { runId: run.runId, status: 'ok' };
    return new FailedWith(finalOf(run.outcome));
  },
});
