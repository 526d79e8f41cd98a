/** The Bot API through grammY, loaded when the first account starts and not before (M-001). */
import type { Api } from 'grammy';
import type { SendOutcome } from '../contract.ts';

export type TelegramApi = Api;

let library: Promise<typeof import('grammy')> | undefined;
let loaded: typeof import('grammy') | undefined;

export async function loadTelegram(): Promise<typeof import('grammy')> {
  library ??= import('grammy');
  loaded = await library;
  return loaded;
}

/** @param timeoutSeconds of one call; the long poll brings its own. */
export async function createApi(token: string, apiRoot: string, timeoutSeconds: number): Promise<Api> {
  const { Api: ApiClass } = await loadTelegram();
  return new ApiClass(token, { apiRoot, timeoutSeconds });
}

export type ApiFailure =
  | { kind: 'refused'; status: number; description: string; retryAfterMs?: number }
  /** It never left, or nobody answered before anything was accepted. */
  | { kind: 'notSent'; detail: string }
  /** It left and the answer did not come. */
  | { kind: 'lost'; detail: string };

/** Errors that can only come before a byte of the request was taken. */
const beforeWriting = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** A call that failed, whatever way. Everything else that is thrown is a mistake of ours and no outage. */
export class CallFailed extends Error {
  override readonly name = 'CallFailed';
  readonly failure: ApiFailure;
  constructor(error: unknown) {
    super('a call of the Bot API failed');
    this.failure = failureOf(error);
  }
}

/** @throws CallFailed */
export async function asked<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw new CallFailed(error);
  }
}

/** What an error of a call means. Its text is cleaned: the token is part of every address. */
export function failureOf(error: unknown): ApiFailure {
  if (loaded !== undefined && error instanceof loaded.GrammyError) {
    const { error_code: status, description, parameters } = error as import('grammy').GrammyError;
    // Some proxy answered in JSON of its own: nobody knows what became of the request.
    if (typeof status !== 'number') return { kind: 'lost', detail: 'the answer is not one of the Bot API' };
    const retryAfter = parameters.retry_after;
    return {
      kind: 'refused',
      status,
      description: clean(String(description)),
      ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter * 1_000 }),
    };
  }
  const inner = loaded !== undefined && error instanceof loaded.HttpError ? error.error : error;
  const { code = '', message = '' } = inner as { code?: string; message?: string };
  const detail = clean(code || message || 'network error').slice(0, 160);
  // A connection that was never made took nothing along; the same code later on says nothing of the kind.
  const isUnconnected = code === 'ETIMEDOUT' && /connect ETIMEDOUT/.test(message);
  return beforeWriting.has(code) || isUnconnected ? { kind: 'notSent', detail } : { kind: 'lost', detail };
}

export const clean = (text: string) => text.replace(/bot\d+:[\w-]+/g, 'bot***').replace(/\b\d{5,}:[\w-]{20,}\b/g, '***');

/** What becomes of a row whose call failed so (channels.md 3.6). `wasPlain`: it was sent without formatting. */
export function outcomeOf(failure: ApiFailure, wasPlain: boolean): SendOutcome {
  if (failure.kind === 'notSent') return { kind: 'retry', error: failure.detail, counted: false };
  if (failure.kind === 'lost') return { kind: 'unknown', error: failure.detail };
  const { status, description, retryAfterMs } = failure;
  if (status === 429)
    return { kind: 'retry', error: description, counted: false, ...(retryAfterMs === undefined ? {} : { delayMs: retryAfterMs }) };
  if (!wasPlain && status === 400 && /can't parse entities|find end of the entity/i.test(description)) {
    return { kind: 'retry', error: description, delayMs: 0, plain: true, counted: false };
  }
  if (status >= 500) return { kind: 'retry', error: description, counted: true };
  return { kind: 'failed', error: description };
}
