/** What the platform and the network may do to a call. A fault is armed per method and used up as often as it says. */
import type { ServerResponse } from 'node:http';
import type { Json } from './types.ts';

export type FaultKind =
  | { kind: 'tooManyRequests'; retryAfter: number }
  /** The platform says no, in its own envelope. */
  | { kind: 'refuse'; status: number; description: string }
  /** A proxy in between answers: a page, and no JSON at all. */
  | { kind: 'html'; status: number }
  | { kind: 'wrongJson'; body?: string }
  /** The connection goes before a byte of the request was read. */
  | { kind: 'destroyBeforeReading' }
  /** The request was read, the answer never comes. `applied`: whether the platform did what it was asked. Default true. */
  | { kind: 'destroyBeforeAnswering'; applied?: boolean }
  /** The answer stops in the middle. The deed is done. */
  | { kind: 'halfAnswer' }
  /** Everything as usual, only later (`delayMs`). */
  | { kind: 'late' };

export type Fault = FaultKind & {
  /** `*`: any method. */
  method: string;
  /** How often. Default once; `Infinity`: until it is lifted. */
  times?: number;
  /** Waits this long before it acts. */
  delayMs?: number;
  /** Only calls that look like this. */
  match?: (params: Json) => boolean;
  /** Only calls of this bot. */
  botId?: number;
};

export interface FaultBox {
  add(fault: Fault): { lift(): void; readonly left: number };
  /** The fault for this call, used up by one. A fault with `match` needs the parameters, so it is asked again with them. */
  take(method: string, botId: number, params: Json | undefined): Fault | undefined;
  clear(): void;
}

export function createFaultBox(): FaultBox {
  const armed: { fault: Fault; left: number }[] = [];
  return {
    add(fault) {
      const entry = { fault, left: fault.times ?? 1 };
      armed.push(entry);
      return {
        lift() {
          entry.left = 0;
        },
        get left() {
          return entry.left;
        },
      };
    },
    take(method, botId, params) {
      const found = armed.find(
        ({ fault, left }) =>
          left > 0 &&
          (fault.method === '*' || fault.method.toLowerCase() === method.toLowerCase()) &&
          (fault.botId === undefined || fault.botId === botId) &&
          (params === undefined ? fault.kind === 'destroyBeforeReading' : (fault.match?.(params) ?? true)),
      );
      if (found === undefined) return undefined;
      found.left -= 1;
      return found.fault;
    },
    clear: () => void armed.splice(0),
  };
}

export interface Answer {
  status: number;
  body: string;
  type?: string;
}

export const ok = (result: unknown): Answer => ({ status: 200, body: JSON.stringify({ ok: true, result }) });

export const refusal = (status: number, description: string, parameters?: object): Answer => ({
  status,
  body: JSON.stringify({ ok: false, error_code: status, description, ...(parameters ? { parameters } : {}) }),
});

/** Whether a call with this fault is carried out behind the scenes. */
export const isApplied = (fault: Fault): boolean =>
  fault.kind === 'late' || fault.kind === 'halfAnswer' || (fault.kind === 'destroyBeforeAnswering' && fault.applied !== false);

/** Carries a fault out on the answer. `real` is what the platform would have said. */
export function answerWith(fault: Fault, response: ServerResponse, real: Answer): Answer | 'cut' {
  switch (fault.kind) {
    case 'tooManyRequests':
      return refusal(429, `Too Many Requests: retry after ${fault.retryAfter}`, { retry_after: fault.retryAfter });
    case 'refuse':
      return refusal(fault.status, fault.description);
    case 'html':
      return { status: fault.status, body: '<html><body>Bad Gateway</body></html>', type: 'text/html' };
    case 'wrongJson':
      return { status: 200, body: fault.body ?? '{"ok":tru' };
    case 'halfAnswer':
      response.writeHead(real.status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(real.body) });
      response.write(real.body.slice(0, Math.floor(real.body.length / 2)), () => response.destroy());
      return 'cut';
    case 'destroyBeforeReading':
    case 'destroyBeforeAnswering':
      response.destroy();
      return 'cut';
    default:
      return real;
  }
}
