/** What a caller may say about the restart that its change needs (protocol 4.4). */
import { type Static, Type } from 'typebox';

export const restartWish = {
  /** The conversation that is told afterwards. */
  sessionKey: Type.Optional(Type.String()),
  note: Type.Optional(Type.String()),
  restartDelayMs: Type.Optional(Type.Integer({ minimum: 0 })),
};

const wish = Type.Object(restartWish);

export type RestartWish = Static<typeof wish>;
