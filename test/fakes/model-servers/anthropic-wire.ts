/** A scripted reply as the stream of `POST /v1/messages`. */
import { argumentPieces, type Reply, type WireEvent } from './script.ts';

export function anthropicEvents(reply: Reply, model: string): WireEvent[] {
  const { input, output } = reply.usage ?? { input: 11, output: 7 };
  const calls = reply.toolCalls ?? [];
  const event = (type: string, more: object = {}): WireEvent => ({ name: type, data: JSON.stringify({ type, ...more }) });
  let index = -1;
  const block = (start: object, deltas: WireEvent[]): WireEvent[] => [
    event('content_block_start', { index, content_block: start }),
    ...deltas,
    event('content_block_stop', { index }),
  ];
  const delta = (value: object): WireEvent => event('content_block_delta', { index, delta: value });

  const blocks: WireEvent[] = [];
  if (reply.reasoning !== undefined) {
    index += 1;
    blocks.push(
      ...block(
        { type: 'thinking', thinking: '', signature: '' },
        reply.reasoning.map((thinking) => delta({ type: 'thinking_delta', thinking })),
      ),
    );
  }
  if (reply.text !== undefined) {
    index += 1;
    blocks.push(
      ...block(
        { type: 'text', text: '' },
        reply.text.map((text) => ({ ...delta({ type: 'text_delta', text }), piece: true as const })),
      ),
    );
  }
  for (const call of calls) {
    index += 1;
    blocks.push(
      ...block(
        { type: 'tool_use', id: call.id, name: call.name, input: {} },
        argumentPieces(call).map((partial_json) => delta({ type: 'input_json_delta', partial_json })),
      ),
    );
  }
  return [
    event('message_start', {
      message: {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { input_tokens: input, output_tokens: 1 },
      },
    }),
    ...blocks,
    event('message_delta', {
      delta: { stop_reason: calls.length > 0 ? 'tool_use' : 'end_turn', stop_sequence: null },
      usage: { output_tokens: output },
    }),
    event('message_stop'),
  ];
}

export const anthropicError = (status: number, message: string) => ({
  type: 'error',
  error: { type: status === 529 ? 'overloaded_error' : 'invalid_request_error', message },
});
