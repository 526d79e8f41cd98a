import { Type } from 'typebox';
import { invalidRequest } from '../errors.ts';
import { defineMethod } from '../method.ts';

const text = Type.String({ minLength: 1 });
/** It goes out with every list, and is for a person to read. */
const maxNameChars = 256;

export const nodeRename = defineMethod({
  name: 'node.rename',
  summary: 'Gives a paired node another name.',
  params: Type.Object({ nodeId: text, displayName: text }, { additionalProperties: false }),
  errors: ['INVALID_REQUEST', 'UNAVAILABLE'],
  async handle({ params: { nodeId, displayName }, ctx }) {
    const name = displayName.trim();
    if (name === '') throw invalidRequest('displayName required');
    if (name.length > maxNameChars) throw invalidRequest(`displayName is longer than ${maxNameChars} characters`);
    await ctx.nodes.rename(nodeId, name);
    return { nodeId, displayName: name };
  },
});
