/** A scripted reply as the stream of `POST /v1/chat/completions`. */
import { argumentPieces, type Reply, type WireEvent } from './script.ts';

export function openaiEvents(reply: Reply, model: string): WireEvent[] {
  const chunk = (choices: unknown[], more: object = {}) =>
    JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model, choices, ...more });
  const delta = (value: object) => chunk([{ index: 0, delta: value, finish_reason: null }]);
  const calls = reply.toolCalls ?? [];
  const { input, output } = reply.usage ?? { input: 11, output: 7 };
  return [
    { data: delta({ role: 'assistant', content: '' }) },
    ...(reply.reasoning ?? []).map((text) => ({ data: delta({ reasoning_content: text }) })),
    ...(reply.text ?? []).map((text) => ({ data: delta({ content: text }), piece: true as const })),
    ...calls.flatMap((call, index) => [
      { data: delta({ tool_calls: [{ index, id: call.id, type: 'function', function: { name: call.name, arguments: '' } }] }) },
      ...argumentPieces(call).map((piece) => ({ data: delta({ tool_calls: [{ index, function: { arguments: piece } }] }) })),
    ]),
    { data: chunk([{ index: 0, delta: {}, finish_reason: calls.length > 0 ? 'tool_calls' : 'stop' }]) },
    { data: chunk([], { usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output } }) },
    { data: '[DONE]' },
  ];
}

export const openaiError = (status: number, message: string) => ({
  error: { message, type: 'fake_error', param: null, code: String(status) },
});
