/**
 * Commands that nodes were asked for and have not answered. Each ends by exactly one of: a result, its deadline, the end of the
 * connection it went to, the announcement that the gateway goes down. Its timer is its own and ends with it.
 */
import { randomUUID } from 'node:crypto';
import { GatewayError, invalidRequest, unavailable } from '../../protocol/errors.ts';
import type { NodeInvokeRequestEvent } from '../../protocol/frames.ts';
import { allowedCommands, type CommandRules, whyNot } from '../../protocol/node-commands.ts';
import type { NodeAnswer, NodeInvocation, NodeResult } from '../../protocol/nodes.ts';
import type { LiveNode } from './nodes.ts';

export interface Invocations {
  invoke(invocation: NodeInvocation): Promise<NodeAnswer>;
  settle(nodeId: string, result: NodeResult): boolean;
  /** The connection is gone, and with it whatever was asked over it. */
  drop(connId: string): void;
  dropAll(): void;
}

export interface InvocationPorts {
  find(nodeId: string): LiveNode | undefined;
  rules(): CommandRules;
  maxBufferedBytes(): number;
}

interface Pending {
  nodeId: string;
  connId: string;
  command: string;
  timer: NodeJS.Timeout;
  resolve(answer: NodeAnswer): void;
  reject(error: GatewayError): void;
}

const defaultMs = 30_000;
/** Nobody waits longer than a day, and a timer of Node cannot be set for longer than 24 days. */
const longestMs = 24 * 3_600_000;
/** Beyond these a node, or all of them, are asked faster than they answer; each waiting caller costs memory. */
const maxOfNode = 64;
const maxPending = 1_024;

export function createInvocations({ find, rules, maxBufferedBytes }: InvocationPorts): Invocations {
  const pending = new Map<string, Pending>();

  function checkCommand({ machine, about }: LiveNode, command: string) {
    const reason = whyNot(command, allowedCommands(machine, rules()), about.commands);
    if (reason !== undefined) throw invalidRequest('node command not allowed', { reason, command });
  }

  function checkRoom(nodeId: string) {
    const ofNode = [...pending.values()].filter((one) => one.nodeId === nodeId).length;
    if (ofNode >= maxOfNode) throw unavailable('too many commands wait for this node');
    if (pending.size >= maxPending) throw unavailable('too many commands wait for nodes');
  }

  /** Whoever ends it has it to himself: a second end finds nothing. */
  function take(id: string): Pending | undefined {
    const one = pending.get(id);
    if (one === undefined) return undefined;
    pending.delete(id);
    clearTimeout(one.timer);
    return one;
  }

  function lose(connId: string | undefined, why: string) {
    for (const [id, { connId: own, command }] of pending) {
      if (connId === undefined || own === connId)
        take(id)?.reject(nodeFailure({ code: 'NOT_CONNECTED', message: `node disconnected (${command})${why}` }));
    }
  }

  return {
    invoke({ nodeId, command, params, timeoutMs, idempotencyKey }) {
      const node = find(nodeId);
      if (node === undefined)
        throw new GatewayError('UNAVAILABLE', 'node not connected', { retryable: true, details: { code: 'NOT_CONNECTED' } });
      checkCommand(node, command);
      checkRoom(nodeId);
      // Asking a node that does not read would only fill our memory.
      if (node.link.buffered > maxBufferedBytes())
        throw nodeFailure({ code: 'UNAVAILABLE', message: 'the node does not read what it is sent' }, true);
      const id = randomUUID();
      const payload: NodeInvokeRequestEvent = {
        id,
        nodeId,
        command,
        ...(params === undefined ? {} : { paramsJSON: JSON.stringify(params) }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        idempotencyKey,
      };
      const { promise, resolve, reject } = Promise.withResolvers<NodeAnswer>();
      const expire = () => take(id)?.reject(nodeFailure({ code: 'TIMEOUT', message: 'node invoke timed out' }));
      const timer = setTimeout(expire, Math.min(timeoutMs || defaultMs, longestMs));
      pending.set(id, { nodeId, connId: node.link.connId, command, timer, resolve, reject });
      node.link.send({ type: 'event', event: 'node.invoke.request', payload });
      return promise;
    },
    settle(nodeId, result) {
      // The id is the gateway's own, so another node can have it only by guessing; then it is no answer.
      const one = pending.get(result.id)?.nodeId === nodeId ? take(result.id) : undefined;
      if (one === undefined) return false;
      if (result.ok) one.resolve(answerOf(result));
      else one.reject(nodeFailure(result.error ?? {}));
      return true;
    },
    drop: (connId) => lose(connId, ''),
    dropAll: () => lose(undefined, ': the gateway goes down'),
  };
}

/** The message is for a person; a node may write as much as it likes, and all of it is in the details. */
const maxMessageChars = 240;

/** Once it was sent it may have been done, so nobody is told that asking again is safe. */
const nodeFailure = (nodeError: { code?: string; message?: string }, wasNotSent = false) =>
  new GatewayError('UNAVAILABLE', (nodeError.message ?? 'node invoke failed').slice(0, maxMessageChars), {
    details: { nodeError },
    ...(wasNotSent ? { retryable: true } : {}),
  });

function answerOf({ payload, payloadJSON }: NodeResult): NodeAnswer {
  if (payloadJSON === undefined) return { payload: payload ?? null, payloadJSON: null };
  try {
    return { payload: JSON.parse(payloadJSON) as unknown, payloadJSON };
  } catch {
    return { payload: { payloadJSON }, payloadJSON };
  }
}
