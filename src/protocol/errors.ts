/**
 * Everything the gateway may answer instead of a result. `retryable` is what a client reads to decide whether asking
 * again can help; a row without it means "no promise either way".
 */
export const errorCodes = {
  NOT_LINKED: { retryable: false },
  NOT_PAIRED: {},
  AGENT_TIMEOUT: {},
  INVALID_REQUEST: {},
  UNAVAILABLE: {},
} as const satisfies Record<string, { retryable?: boolean }>;

export type ErrorCode = keyof typeof errorCodes;

/** The wire shape of a refusal (`ErrorShape` of the protocol). */
export interface ErrorPayload {
  code: string;
  message: string;
  details?: unknown;
  retryable?: boolean;
  retryAfterMs?: number;
}

/** A refusal the client is told about. Anything else that is thrown is a bug and fails its actor. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  readonly details: unknown;
  readonly retryable: boolean | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    more: { details?: unknown; retryable?: boolean; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.details = more.details;
    this.retryable = more.retryable ?? (errorCodes[code] as { retryable?: boolean }).retryable;
    this.retryAfterMs = more.retryAfterMs;
  }

  /** Optional members are left out, never `null`: clients drop a frame that has one. */
  toPayload(): ErrorPayload {
    return {
      code: this.code,
      message: this.message,
      ...(this.details === undefined ? {} : { details: this.details }),
      ...(this.retryable === undefined ? {} : { retryable: this.retryable }),
      ...(this.retryAfterMs === undefined ? {} : { retryAfterMs: this.retryAfterMs }),
    };
  }
}

/** Nothing was attempted and asking again will help: the caller may repeat the same request. */
export const unavailable = (message: string, retryAfterMs?: number) =>
  new GatewayError('UNAVAILABLE', message, { retryable: true, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });

export const invalidRequest = (message: string, details?: unknown) => new GatewayError('INVALID_REQUEST', message, { details });

/** The closed list of reasons that end the process, each with the exit code a service manager reads. */
export const fatalCodes = {
  'config-missing': 78,
  'config-invalid': 78,
  'mode-remote': 78,
  'mode-unset': 78,
  'auth-token-missing': 78,
  'auth-password-missing': 78,
  'auth-weak': 78,
  'bind-unavailable': 78,
  'bind-refused': 78,
  'tailscale-conflict': 78,
  'tls-unavailable': 78,
  'lock-held': 75,
  'port-in-use': 75,
  'port-denied': 77,
  'state-unwritable': 74,
  'store-unavailable': 74,
  'intensity-exceeded': 70,
  'shutdown-timeout': 70,
} as const satisfies Record<string, number>;

export type FatalCode = keyof typeof fatalCodes;

/** A reason to end the process. `fix` is the command or edit that cures it. */
export class FatalError extends Error {
  override readonly name = 'FatalError';
  readonly code: FatalCode;
  readonly fix: string;
  readonly exitCode: number;

  constructor(code: FatalCode, message: string, fix: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.fix = fix;
    this.exitCode = fatalCodes[code];
  }
}
