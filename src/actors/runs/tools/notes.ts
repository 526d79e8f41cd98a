/** Remembering and recalling notes of a conversation. */
import type { Tool } from '../models/contract.ts';
import type { ToolPorts } from './index.ts';

const maxNotes = 20;

export const noteTools = ({ store, now }: Pick<ToolPorts, 'store' | 'now'>): Tool[] => [
  {
    name: 'remember',
    description: 'Keeps a note for this conversation.',
    parameters: {
      type: 'object',
      properties: { text: { type: 'string', minLength: 1, maxLength: 4_000 } },
      required: ['text'],
      additionalProperties: false,
    },
    readOnly: false,
    async execute({ text }, { sessionKey }) {
      await store().call('notes.add', { sessionKey, text: String(text), now: now() });
      return { text: `I will remember: ${String(text)}`, isError: false };
    },
  },
  {
    name: 'recall',
    description: 'Finds notes of this conversation that contain all the given words.',
    parameters: { type: 'object', properties: { query: { type: 'string' } }, required: ['query'], additionalProperties: false },
    readOnly: true,
    async execute({ query }, { sessionKey }) {
      const { notes } = await store().call('notes.find', { sessionKey, query: String(query), limit: maxNotes });
      return {
        text: notes.length === 0 ? 'I remember nothing about that.' : notes.map((note) => `- ${note.text}`).join('\n'),
        isError: false,
      };
    },
  },
];
