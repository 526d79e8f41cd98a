/** What an agent can say about the gateway it lives in. */
import type { Tool } from '../models/contract.ts';
import type { ToolPorts } from './index.ts';

const none = { type: 'object', properties: {}, additionalProperties: false };

export const statusTools = ({ status, sessions, now }: Pick<ToolPorts, 'status' | 'sessions' | 'now'>): Tool[] => [
  {
    name: 'status',
    description: 'How the gateway and its channels are.',
    parameters: none,
    readOnly: true,
    execute: async () => ({ text: await status(), isError: false }),
  },
  {
    name: 'sessions',
    description: 'The conversations used last.',
    parameters: none,
    readOnly: true,
    execute: async () => ({ text: await sessions(), isError: false }),
  },
  {
    name: 'time',
    description: 'Date and time on this machine.',
    parameters: none,
    readOnly: true,
    execute: async () => ({ text: `It is ${new Date(now()).toString()}.`, isError: false }),
  },
];
