import { Type } from 'typebox';
import { defineMethod } from '../method.ts';
import { withoutNulls } from '../nodes.ts';

/** Longer names are no conversation anybody has; remembering one would only cost memory. */
const maxKeyChars = 512;

export const nodeEvent = defineMethod({
  name: 'node.event',
  summary: 'Something a node tells, or wants to hear of. What is not known here is accepted and has no effect.',
  params: Type.Object(
    {
      event: Type.String({ minLength: 1 }),
      payload: Type.Optional(Type.Unknown()),
      payloadJSON: Type.Optional(Type.String()),
    },
    { additionalProperties: false },
  ),
  errors: ['INVALID_REQUEST'],
  normalize: (params) => withoutNulls(params, ['payload', 'payloadJSON']),
  handle({ params, ctx }) {
    const { event } = params;
    if (event === 'chat.subscribe' || event === 'chat.unsubscribe') {
      const sessionKey = sessionKeyOf(params);
      if (sessionKey !== undefined) ctx.nodes.follow(ctx.identity.connId, sessionKey, event === 'chat.subscribe');
    }
    return { ok: true };
  },
});

function sessionKeyOf({ payload, payloadJSON }: { payload?: unknown; payloadJSON?: string }): string | undefined {
  let value = payload;
  if (payloadJSON !== undefined) {
    try {
      value = JSON.parse(payloadJSON);
    } catch {
      return undefined;
    }
  }
  const key = (value as { sessionKey?: unknown } | null | undefined)?.sessionKey;
  return typeof key === 'string' && key.trim() !== '' && key.length <= maxKeyChars ? key : undefined;
}
