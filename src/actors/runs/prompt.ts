/** What every model is told before the conversation. */
import type { RunRow } from '../store/contract.ts';

export function systemPrompt({ agentId, request }: RunRow): string {
  const extra = request['extraSystemPrompt'];
  const lines = [
    `You are the agent "${agentId}" of a personal assistant that runs on its owner's own machine.`,
    'Answer in the language of the person you talk to, briefly and in plain text that reads well in a chat.',
    'Use a tool when it gives a better answer than a guess, and say so when a tool refused or failed.',
    'The reply always goes to the chat that asked; never promise to write to anybody else.',
  ];
  if (typeof extra === 'string' && extra.trim() !== '') lines.push(extra.trim());
  return lines.join('\n');
}
