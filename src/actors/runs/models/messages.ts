/** Our history in the shape the model library wants. */
import type { ModelMessage } from 'ai';
import type { HistoryInput } from '../../store/contract.ts';

interface CallBlock {
  id: string;
  name: string;
  arguments: Record<string, unknown>;
}

const isText = (block: HistoryInput['content'][number]) => block.type === 'text';
const callsOf = ({ content }: HistoryInput) => content.filter(({ type }) => type === 'toolCall') as unknown as CallBlock[];
export const textOf = ({ content }: HistoryInput) =>
  content
    .filter(isText)
    .map((block) => String(block['text']))
    .join('\n');

/** Two user turns in a row become one, and a tool call that never got its result gets one: both wires refuse the rest. */
export function toModelMessages(history: readonly HistoryInput[]): ModelMessage[] {
  const messages: ModelMessage[] = [];
  const answered = new Set(history.filter(({ role }) => role === 'toolResult').map(({ toolCallId }) => toolCallId));
  for (const entry of history) {
    if (entry.role === 'user') addUser(messages, textOf(entry));
    else if (entry.role === 'toolResult')
      addResult(messages, entry.toolCallId ?? '', entry.toolName ?? 'tool', textOf(entry), entry.isError === true);
    else {
      const calls = callsOf(entry);
      const text = textOf(entry);
      if (text === '' && calls.length === 0) continue;
      messages.push({
        role: 'assistant',
        content: [
          ...(text === '' ? [] : [{ type: 'text' as const, text }]),
          ...calls.map(({ id, name, arguments: input }) => ({ type: 'tool-call' as const, toolCallId: id, toolName: name, input })),
        ],
      });
      for (const { id, name } of calls) if (!answered.has(id)) addResult(messages, id, name, 'interrupted, outcome unknown', true);
    }
  }
  return messages;
}

function addUser(messages: ModelMessage[], text: string): void {
  const last = messages.at(-1);
  if (last?.role === 'user' && typeof last.content === 'string') last.content = `${last.content}\n${text}`;
  else messages.push({ role: 'user', content: text });
}

function addResult(messages: ModelMessage[], toolCallId: string, toolName: string, value: string, isError: boolean): void {
  const output = { type: isError ? ('error-text' as const) : ('text' as const), value };
  const part = { type: 'tool-result' as const, toolCallId, toolName, output };
  const last = messages.at(-1);
  if (last?.role === 'tool') last.content.push(part);
  else messages.push({ role: 'tool', content: [part] });
}
