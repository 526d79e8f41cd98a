/**
 * Listens to a stranger: a connection that has not introduced itself. Its first message decides: granted (answered with
 * `hello-ok`, and a session goes on in the same turn, so that no pipelined frame is lost) or refused.
 *   takes     shutdown.announced · gateway.drain (the socket waits for the next generation)
 *   reports   child.replaced (by a session, or by whoever closes the socket) · socket.closed (nothing left to do here)
 */
import { openedToNodes } from '../../protocol/access.ts';
import { PROTOCOL_VERSION } from '../../protocol/frames.ts';
import { closeReason } from '../../protocol/limits.ts';
import { nodeIdOf } from '../../protocol/nodes.ts';
import { fromIo } from '../io.ts';
import { judge, type Verdict } from './authenticate.ts';
import { textOf } from './connection.ts';
import type { HubScope } from './hub.ts';

export const handshakeActor = (hub: HubScope) =>
  fromIo<{ connId: string }>(({ input, guard, report, receive }) => {
    const connection = hub.sessions.get(input.connId);
    if (connection === undefined || !connection.isOpen) {
      report({ type: 'socket.closed' });
      return;
    }
    const open = connection;
    const onClose = guard(() => report({ type: 'socket.closed' }));
    const onMessage = guard((data: Parameters<typeof textOf>[0]) => {
      const verdict = judge(textOf(data), connection.remote, hub.policy());
      if (verdict.kind === 'refused') return refuse(verdict);
      grant(verdict);
    });
    const deadline = hub.deadlines.add(
      connection.openedAt,
      guard(() => refuse({ kind: 'refused', close: { code: 1008, reason: 'handshake timeout' } })),
    );

    function refuse({ close, response }: Extract<Verdict, { kind: 'refused' }>) {
      hub.noteRefusal(open, close.reason);
      if (response) open.refuse(response.id, response.error);
      report({ type: 'child.replaced', spec: hub.dismissal(open.connId, { code: close.code, reason: closeReason(close.reason) }) });
    }

    function grant(verdict: Extract<Verdict, { kind: 'granted' }>) {
      const { params, role, scopes, id } = verdict;
      open.identity = {
        connId: open.connId,
        role,
        scopes: new Set(scopes),
        clientId: params.client.id,
        mode: params.client.mode.trim().toLowerCase(),
        isLocal: open.remote.isLocal,
        ...(params.client.displayName === undefined ? {} : { displayName: params.client.displayName }),
        ...(params.client.instanceId === undefined ? {} : { instanceId: params.client.instanceId }),
        ...(role === 'node' ? { nodeId: nodeIdOf(params), opened: openedToNodes(hub.policy().nodeMethods) } : {}),
      };
      hub.welcome(open, params, scopes);
      open.respond(id, { type: 'hello-ok', protocol: PROTOCOL_VERSION, ...hub.hello(open) });
      hub.admit(open);
      report({ type: 'child.replaced', spec: hub.session(open.connId) });
      hub.announce(open);
    }

    // Whoever has not said a word yet is no client of this generation. Both words may come; the first ends this actor.
    receive(() => {
      report({ type: 'socket.closed' });
      hub.handBack(open);
    });
    connection.ws.on('message', onMessage);
    connection.ws.once('close', onClose);
    return () => {
      hub.deadlines.remove(deadline);
      connection.ws.off('message', onMessage);
      connection.ws.off('close', onClose);
    };
  });
