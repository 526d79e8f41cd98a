/**
 * A model, as the run sees it: messages in, a stream of parts out, one step per call. The loop over steps, the tools, the
 * retries and the deadlines belong to the run; a model only turns messages into text and tool calls.
 */
import type { HistoryInput } from '../../store/contract.ts';

export interface ToolSpec {
  name: string;
  description: string;
  /** JSON Schema of the arguments. */
  parameters: Record<string, unknown>;
}

export type ModelPart =
  | { type: 'text'; delta: string }
  | { type: 'reasoning'; delta: string }
  | { type: 'toolCall'; id: string; name: string; arguments: Record<string, unknown> }
  | { type: 'usage'; input: number; output: number };

export interface ModelStepInput {
  system: string;
  /** Oldest first; the last one is what has to be answered. */
  messages: HistoryInput[];
  tools: ToolSpec[];
  signal: AbortSignal;
}

export interface Model {
  /** `provider/model`. */
  readonly ref: string;
  readonly provider: string;
  readonly name: string;
  readonly contextWindow: number;
  /** Ends after the last part; throws `ModelError` or whatever aborted the signal. */
  step(input: ModelStepInput): AsyncIterable<ModelPart>;
}

export type ModelFailure = 'auth' | 'rate_limit' | 'billing' | 'timeout' | 'format' | 'context' | 'other';

export class ModelError extends Error {
  override readonly name = 'ModelError';
  readonly failure: ModelFailure;
  readonly retryAfterMs: number | undefined;
  constructor(failure: ModelFailure, message: string, more: { retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.failure = failure;
    this.retryAfterMs = more.retryAfterMs;
  }
}

/** What a tool may use. Everything comes from outside, so a tool is a function and its test a call. */
export interface ToolScope {
  sessionKey: string;
  agentId: string;
  runId: string;
  /** Asked by an operator in the main conversation; never somebody in a chat, who may write to the same one. */
  isOwner: boolean;
  signal: AbortSignal;
}

export interface ToolResult {
  /** What the model reads. */
  text: string;
  isError: boolean;
}

export interface Tool extends ToolSpec {
  /** A read-only tool may be run again after a kill. */
  readOnly: boolean;
  execute(args: Record<string, unknown>, scope: ToolScope): Promise<ToolResult>;
}
