/**
 * Serves one open client. The session's `open` state invokes it, so it holds the socket's `message` listener exactly as
 * long as that state lasts: no machine event per request, and no frame has to ask in which state it arrived.
 *   reports  pump.violated · socket.closed
 */
import { authorize } from '../../protocol/access.ts';
import { GatewayError, invalidRequest } from '../../protocol/errors.ts';
import { requestFrame } from '../../protocol/frames.ts';
import { FailedWith, TwoStage } from '../../protocol/method.ts';
import { methods } from '../../protocol/methods/index.ts';
import { describeErrors, validatorOf } from '../../protocol/validate.ts';
import { fromIo } from '../io.ts';
import { type Connection, requestIdOf, textOf } from './connection.ts';
import type { HubScope } from './hub.ts';
import { createIntake, weightOf } from './intake.ts';

interface Request {
  id: string;
  method: string;
  params?: unknown;
}

export const requestPump = (hub: HubScope) =>
  fromIo<{ connId: string }>(({ input, guard, report }) => {
    const connection = hub.sessions.get(input.connId);
    if (connection === undefined || !connection.isOpen) {
      report({ type: 'socket.closed' });
      return;
    }
    const open = connection;
    const validateFrame = validatorOf('req', requestFrame);
    const context = hub.contextFor(connection);

    const intake = createIntake(connection, guard, (data) => {
      let frame: unknown;
      try {
        frame = JSON.parse(textOf(data));
      } catch {
        return report({ type: 'pump.violated', close: { code: 1008, reason: 'invalid JSON' } });
      }
      if (!validateFrame(frame)) return rejectFrame(connection, frame, describeErrors(validateFrame.errors));
      connection.requests += 1;
      serve(frame as Request);
    });

    function serve({ id, method, params }: Request) {
      const startedAt = hub.verbose ? performance.now() : 0;
      try {
        if (method === 'connect') throw invalidRequest('connect is only valid as the first request');
        authorize(method, context.identity);
        const row = methods.get(method);
        if (row === undefined) throw invalidRequest(`unknown method: ${method}`);
        const validate = validatorOf(`params:${method}`, row.params);
        const given = row.normalize?.(params ?? {}) ?? params ?? {};
        if (!validate(given)) throw invalidRequest(`invalid ${method} params: ${describeErrors(validate.errors)}`);
        const result = row.handle({ params: given, ctx: context });
        if (result instanceof Promise) {
          const ended = intake.begin(row.waits ? weightOf.waiting : weightOf.ordinary);
          result.then(
            (value) => {
              finish(id, method, value, startedAt);
              ended();
            },
            (error) => {
              fail(id, method, error, startedAt);
              ended();
            },
          );
        } else finish(id, method, result, startedAt);
      } catch (error) {
        fail(id, method, error, startedAt);
      }
    }

    // Not fenced: an answer that is owed goes out as long as the socket is open, also while the session is leaving.
    function finish(id: string, method: string, value: unknown, startedAt: number) {
      if (value instanceof TwoStage) {
        open.respond(id, value.ack);
        value.final.then(
          ({ ok, payload, error }) => (ok || error === undefined ? open.respond(id, payload) : open.refuse(id, error, payload)),
          (error) => fail(id, method, error, startedAt),
        );
        value.afterAck();
      } else if (value instanceof FailedWith) {
        const { error = { code: 'UNAVAILABLE', message: 'failed' }, payload } = value.response;
        open.refuse(id, error, payload);
      } else open.respond(id, value);
      if (hub.verbose) hub.noteRequest(open, method, performance.now() - startedAt);
    }

    function fail(id: string, method: string, error: unknown, startedAt: number) {
      const refusal = error instanceof GatewayError ? error : unexpected(error);
      open.refuse(id, refusal.toPayload());
      hub.noteFailure(
        open,
        method,
        refusal.code,
        performance.now() - (startedAt || performance.now()),
        error instanceof GatewayError ? undefined : error,
      );
    }

    const onClose = guard(() => report({ type: 'socket.closed' }));
    connection.ws.once('close', onClose);
    connection.fellBehind = guard(() => report({ type: 'pump.violated', close: { code: 1008, reason: 'slow consumer' } }));
    return () => {
      intake.stop();
      connection.ws.off('close', onClose);
    };
  });

function rejectFrame(connection: Connection, frame: unknown, detail: string): void {
  const id = (frame as { id?: unknown } | null)?.id;
  connection.refuse(typeof id === 'string' && id !== '' ? id : 'invalid', {
    code: 'INVALID_REQUEST',
    message: `invalid request frame: ${detail}`.slice(0, 240),
  });
}

/** The caller learns that it was us, not why: messages of bugs may quote what they choked on. */
const unexpected = (error: unknown) =>
  new GatewayError('UNAVAILABLE', error instanceof Error && error.name === 'StoreError' ? 'the store did not answer' : 'internal error', {
    cause: error,
  });

/** `shutdown` has been sent: whoever asks now is told to come back. */
export const refusePump = (hub: HubScope) =>
  fromIo<{ connId: string }>(({ input, guard, report }) => {
    const connection = hub.sessions.get(input.connId);
    if (connection === undefined || !connection.isOpen) {
      report({ type: 'socket.closed' });
      return;
    }
    const intake = createIntake(connection, guard, (data) => {
      const id = requestIdOf(textOf(data));
      if (id === undefined) return;
      connection.refuse(id, { code: 'UNAVAILABLE', message: 'gateway is shutting down', retryable: true, ...hub.retryAfter() });
    });
    const onClose = guard(() => report({ type: 'socket.closed' }));
    connection.ws.once('close', onClose);
    return () => {
      intake.stop();
      connection.ws.off('close', onClose);
    };
  });

/** Says goodbye and makes sure that the socket goes, whether or not the other end answers. */
export const closer = (hub: HubScope) =>
  fromIo<{ connId: string; close: { code: number; reason: string } }>(({ input, guard, report, after }) => {
    const connection = hub.sessions.get(input.connId);
    if (connection === undefined || connection.ws.readyState === connection.ws.CLOSED) {
      report({ type: 'socket.closed' });
      return;
    }
    const onClose = guard(() => report({ type: 'socket.closed' }));
    connection.ws.once('close', onClose);
    connection.close(input.close.code, input.close.reason);
    // A slow reader gets longer, or it would never learn why: the close frame lies behind all that it has not read.
    after(closeTimeoutMs, () => {
      if (connection.buffered === 0) return connection.ws.terminate();
      after(slowCloseTimeoutMs, () => connection.ws.terminate());
    });
    return () => {
      connection.ws.off('close', onClose);
      if (connection.ws.readyState !== connection.ws.CLOSED) connection.ws.terminate();
    };
  });

const closeTimeoutMs = 500;
const slowCloseTimeoutMs = 5_000;
