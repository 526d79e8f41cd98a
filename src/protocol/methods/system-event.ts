import { Type } from 'typebox';
import { invalidRequest } from '../errors.ts';
import { defineMethod } from '../method.ts';

export const systemEvent = defineMethod({
  name: 'system-event',
  summary: 'Announces a machine, or leaves a note for the main conversation.',
  // Loose: optional fields of the wrong type are ignored, as shipping apps expect.
  params: Type.Object({ text: Type.Optional(Type.Unknown()) }),
  errors: ['INVALID_REQUEST'],
  handle({ params, ctx }) {
    const { text } = params;
    if (typeof text !== 'string' || text.trim() === '') throw invalidRequest('text required');
    ctx.presence.note({ ...params, text: text.trim() });
    return { ok: true };
  },
});
