import { Type } from 'typebox';
import { defineMethod } from '../method.ts';

export const skillsBins = defineMethod({
  name: 'skills.bins',
  summary: 'Programs a node host may run without asking; none in this release.',
  params: Type.Object({}, { additionalProperties: false }),
  errors: [],
  handle: () => ({ bins: [] }),
});
