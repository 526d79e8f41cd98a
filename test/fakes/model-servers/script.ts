/** What a fake model answers, independent of the wire it speaks. */

export interface ScriptedCall {
  id: string;
  name: string;
  /** A text is sent as it is: that is how a model that writes broken JSON is played. */
  arguments: Record<string, unknown> | string;
}

/** What goes wrong (testing-channels.md 5). */
export type Fault =
  | { kind: 'status'; status: number; headers?: Record<string, string>; message?: string }
  /** Headers are sent only for `afterFirst`; then nothing ever comes. */
  | { kind: 'hang'; at: 'beforeFirst' | 'afterFirst' }
  /** The socket is destroyed after this many pieces of text. */
  | { kind: 'cut'; afterPieces: number }
  /** The answer ends politely after this many pieces of text, without the wire's closing words. */
  | { kind: 'endEarly'; afterPieces: number }
  | { kind: 'drip'; everyMs: number }
  | { kind: 'malformed' };

export interface Reply {
  /** Pieces of text, streamed one by one. */
  text?: string[];
  reasoning?: string[];
  toolCalls?: ScriptedCall[];
  usage?: { input: number; output: number };
  fault?: Fault;
}

export interface ListedModel {
  id: string;
  contextLength?: number;
}

/** One event of a stream; `piece` marks those that carry text, which is what faults count. */
export interface WireEvent {
  data: string;
  name?: string;
  piece?: true;
}

/** Arguments travel in two halves, because real servers split them wherever they like. */
export function argumentPieces(call: ScriptedCall): string[] {
  const text = typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments);
  const middle = Math.ceil(text.length / 2);
  return [text.slice(0, middle), text.slice(middle)].filter((piece) => piece !== '');
}
