/**
 * Models behind an OpenAI-compatible or Anthropic server, through the AI SDK: one step per call, tools without executor,
 * no retries. The libraries are imported when a model needs them and not before.
 */
import type { LanguageModel } from 'ai';
import { type Model, ModelError, type ModelFailure, type ModelPart } from './contract.ts';
import { toModelMessages } from './messages.ts';
import type { Wire } from './providers.ts';

export interface RemoteModel {
  ref: string;
  provider: string;
  name: string;
  wire: Wire;
  baseUrl: string;
  apiKey: string | undefined;
  contextWindow: number;
  maxTokens: number;
}

type Libraries = Awaited<ReturnType<typeof importLibraries>>;
let libraries: Promise<Libraries> | undefined;

async function importLibraries() {
  const [ai, compatible, anthropic] = await Promise.all([import('ai'), import('@ai-sdk/openai-compatible'), import('@ai-sdk/anthropic')]);
  // The library speaks to the console on its own; our log says what matters.
  (globalThis as { AI_SDK_LOG_WARNINGS?: boolean }).AI_SDK_LOG_WARNINGS = false;
  return { ai, compatible, anthropic };
}

export function loadModelLibraries(): Promise<Libraries> {
  libraries ??= importLibraries();
  return libraries;
}

export function remoteModel(remote: RemoteModel): Model {
  return {
    ref: remote.ref,
    provider: remote.provider,
    name: remote.name,
    contextWindow: remote.contextWindow,
    async *step({ system, messages, tools, signal }): AsyncIterable<ModelPart> {
      const { ai, ...factories } = await loadModelLibraries();
      try {
        const result = ai.streamText({
          model: languageModel(remote, factories),
          instructions: system,
          messages: toModelMessages(messages),
          tools: Object.fromEntries(
            tools.map(({ name, description, parameters }) => [name, { description, inputSchema: ai.jsonSchema(parameters) }]),
          ),
          maxRetries: 0,
          abortSignal: signal,
          // The wire of Anthropic demands it, and no other is worse for it.
          ...(remote.wire === 'anthropic' ? { maxOutputTokens: remote.maxTokens } : {}),
          // Errors arrive as parts; without a handler the library would print them.
          onError: () => {},
        });
        yield* mapParts(result.fullStream as AsyncIterable<StreamPart>);
      } catch (error) {
        throw error instanceof ModelError ? error : modelError(error, remote);
      }
    },
  };

  async function* mapParts(stream: AsyncIterable<StreamPart>): AsyncIterable<ModelPart> {
    for await (const part of stream) {
      if (part.type === 'text-delta') yield { type: 'text', delta: part.text ?? '' };
      else if (part.type === 'reasoning-delta') yield { type: 'reasoning', delta: part.text ?? '' };
      else if (part.type === 'tool-call')
        yield {
          type: 'toolCall',
          id: part.toolCallId ?? '',
          name: part.toolName ?? '',
          arguments: (part.input ?? {}) as Record<string, unknown>,
        };
      else if (part.type === 'finish-step')
        yield { type: 'usage', input: part.usage?.inputTokens ?? 0, output: part.usage?.outputTokens ?? 0 };
      else if (part.type === 'error') throw modelError(part.error, remote);
      else if (part.type === 'abort') throw new ModelError('other', 'aborted');
    }
  }
}

/** The members of the library's stream parts that are read here. */
interface StreamPart {
  type: string;
  text?: string;
  toolCallId?: string;
  toolName?: string;
  input?: unknown;
  usage?: { inputTokens?: number; outputTokens?: number };
  error?: unknown;
}

function languageModel(remote: RemoteModel, { compatible, anthropic }: Omit<Libraries, 'ai'>): LanguageModel {
  const { baseUrl: baseURL, apiKey, name, provider } = remote;
  if (remote.wire === 'anthropic') return anthropic.createAnthropic({ baseURL, apiKey: apiKey ?? 'none' })(name);
  return compatible.createOpenAICompatible({ baseURL, name: provider, includeUsage: true, ...(apiKey === undefined ? {} : { apiKey }) })(
    name,
  );
}

const failureByStatus: Readonly<Record<number, ModelFailure>> = {
  401: 'auth',
  403: 'auth',
  402: 'billing',
  408: 'timeout',
  429: 'rate_limit',
  503: 'rate_limit',
  529: 'rate_limit',
};
const networkCodes = new Set(['ETIMEDOUT', 'ECONNRESET', 'ECONNREFUSED', 'UND_ERR_SOCKET', 'UND_ERR_CONNECT_TIMEOUT']);

/** Typed first, by text last; neither keys nor what was said enter the message. */
function modelError(error: unknown, { ref }: RemoteModel): ModelError {
  const {
    statusCode,
    responseHeaders,
    cause,
    message = '',
  } = error as { statusCode?: number; responseHeaders?: Record<string, string>; cause?: { code?: string }; message?: string };
  if (statusCode !== undefined) {
    const failure =
      failureByStatus[statusCode] ??
      (/context|too long|maximum.*tokens/i.test(message) ? 'context' : statusCode < 500 ? 'format' : 'other');
    const seconds = Number(responseHeaders?.['retry-after']);
    return new ModelError(
      failure,
      `${ref} answered ${statusCode} (${failure})`,
      Number.isFinite(seconds) ? { retryAfterMs: seconds * 1_000 } : {},
    );
  }
  const code = cause?.code ?? (error as { code?: string }).code;
  if (code !== undefined && networkCodes.has(code)) return new ModelError('timeout', `${ref} cannot be reached (${code})`);
  return new ModelError('other', `${ref} failed before its answer was complete`);
}
