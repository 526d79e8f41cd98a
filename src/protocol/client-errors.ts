/** The two ways in which asking a gateway fails: it refused, or there was nobody to answer. */
import { type ErrorCode, type ErrorPayload, errorCodes, GatewayError } from './errors.ts';

/** The gateway refused. `error` is the refusal as it came over the wire, with a code this client need not know. */
export class RequestError extends GatewayError {
  readonly error: ErrorPayload;
  /** What came beside the refusal: the end of a run carries its id and summary there. */
  readonly payload: unknown;

  constructor(error: ErrorPayload, payload?: unknown) {
    const { code, message, details, retryable, retryAfterMs } = error;
    super(Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : 'UNAVAILABLE', message, {
      ...(details === undefined ? {} : { details }),
      ...(retryable === undefined ? {} : { retryable }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
    this.error = error;
    this.payload = payload;
  }
}

/** There is no connection, or it ended before the answer came. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  /** Close code of the WebSocket; 0 when it was never open or simply silent. */
  readonly code: number;
  /** Close reason, or the system's word for it: `ECONNREFUSED`, `timeout`. */
  readonly reason: string;
  readonly url: string;

  constructor(message: string, fields: { url: string; code?: number; reason?: string }, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = fields.code ?? 0;
    this.reason = fields.reason ?? '';
    this.url = fields.url;
  }

  /** Nobody took the connection: nothing can have been done. */
  get isUnreachable(): boolean {
    return this.code === 0 && this.reason !== 'timeout';
  }
}
