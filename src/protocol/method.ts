/** What a method is: one row with everything the gateway, the schema and the help need to know about it. */
import type { Static, TSchema } from 'typebox';
import type { MethodContext } from './context.ts';
import type { ErrorCode, ErrorPayload } from './errors.ts';

/** The second response of a two-stage method (protocol 3.6). */
export interface FinalResponse {
  ok: boolean;
  payload: unknown;
  error?: ErrorPayload;
}

/** An acknowledgement now and a final response under the same request id later. */
export class TwoStage {
  readonly ack: unknown;
  readonly final: Promise<FinalResponse>;
  /** Called once the acknowledgement has been sent. */
  readonly afterAck: () => void;
  constructor(ack: unknown, final: Promise<FinalResponse>, afterAck: () => void) {
    this.ack = ack;
    this.final = final;
    this.afterAck = afterAck;
  }
}

/** An answer that is a refusal and still carries a payload (a replayed failure of a run). */
export class FailedWith {
  readonly response: FinalResponse;
  constructor(response: FinalResponse) {
    this.response = response;
  }
}

export interface MethodRow<P extends TSchema = TSchema> {
  name: string;
  summary: string;
  params: P;
  errors: readonly ErrorCode[];
  /** Its answer waits for something outside and costs nothing meanwhile, so a client may have many of them open. */
  waits?: true;
  /** What shipping clients send instead of what is defined, put right before the params are validated (protocol 4.5). */
  normalize?(params: unknown): unknown;
  handle(call: { params: Static<P>; ctx: MethodContext }): unknown;
}

/** Keeps the type of the params while the row goes into a table of rows. */
export const defineMethod = <P extends TSchema>(row: MethodRow<P>): MethodRow => row;
