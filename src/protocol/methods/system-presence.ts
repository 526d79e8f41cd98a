import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const systemPresence = defineMethod({
  name: 'system-presence',
  summary: 'Lists the gateway, its clients and the machines that announced themselves.',
  params: Type.Object({}),
  errors: [],
  handle: ({ ctx }) => ctx.presence.list(),
});
