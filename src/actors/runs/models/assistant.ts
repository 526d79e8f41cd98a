/**
 * `openclaw/assistant`: the model of somebody who has no model yet. Deterministic, in process, honest about what it is; it
 * calls real tools through the same policy as any other model.
 */
import type { HistoryInput } from '../../store/contract.ts';
import { understand } from './assistant-grammar.ts';
import type { Model, ModelPart, ModelStepInput } from './contract.ts';

export const assistantRef = 'openclaw/assistant';

export const assistant: Model = {
  ref: assistantRef,
  provider: 'openclaw',
  name: 'assistant',
  contextWindow: 16_000,
  async *step(input): AsyncIterable<ModelPart> {
    const parts = answer(input);
    for (const part of parts) {
      input.signal.throwIfAborted();
      yield part;
      // A turn of the event loop between parts: a long answer may not hold up anybody else, and an abort is seen.
      await new Promise((resolve) => setImmediate(resolve));
    }
  },
};

const textOf = ({ content }: HistoryInput) =>
  content
    .map((block) => (block.type === 'text' ? String(block['text']) : ''))
    .join('\n')
    .trim();

function answer({ messages, tools }: ModelStepInput): ModelPart[] {
  const last = messages.at(-1);
  if (last?.role === 'toolResult') return say(last.isError === true ? `That did not work: ${textOf(last)}` : textOf(last) || 'Done.');
  const asked = [...messages].reverse().find(({ role }) => role === 'user');
  const intent = understand(asked === undefined ? '' : textOf(asked));
  if (intent.kind === 'say') return say(intent.text);
  if (!tools.some(({ name }) => name === intent.tool))
    return say(`I would need the tool "${intent.tool}" for that, and it is not allowed here.`);
  // The id is derived, not drawn: the same conversation gives the same call.
  return [{ type: 'toolCall', id: `call-${messages.length}`, name: intent.tool, arguments: intent.arguments }, ...usage(messages, '')];
}

const say = (text: string): ModelPart[] => [...wordGroups(text).map((delta) => ({ type: 'text' as const, delta })), ...usage([], text)];

/** A few words at a time, as other models stream. */
const wordGroups = (text: string): string[] => text.match(/(?:\S+\s*){1,6}/g) ?? [text];

/** A rough count is better than none: four characters to a token. */
const usage = (messages: readonly HistoryInput[], text: string): ModelPart[] => [
  {
    type: 'usage',
    input: Math.ceil(messages.reduce((sum, message) => sum + textOf(message).length, 0) / 4),
    output: Math.ceil(text.length / 4),
  },
];
