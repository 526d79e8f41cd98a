/**
 * What the rest of the gateway holds instead of the listener: the listener may crash and be opened again, and the hub that
 * was attached to the old one is attached to the new one without hearing of it. Until then there is nothing to hand over.
 */
import type { Connection } from './connection.ts';
import type { ConnectionTaker, ListenerPort } from './listener.ts';

export interface Switchboard extends ListenerPort {
  /** A listener is open; the returned function takes it back. */
  register(port: ListenerPort): () => void;
}

export function createSwitchboard(): Switchboard {
  let current: ListenerPort | undefined;
  let taker: ConnectionTaker | undefined;
  let detach: (() => void) | undefined;

  return {
    register(port) {
      current = port;
      detach = taker && port.attach(taker);
      return () => {
        if (current !== port) return;
        current = undefined;
        detach = undefined;
      };
    },
    attach(next) {
      taker = next;
      detach = current?.attach(next);
      return () => {
        if (taker !== next) return;
        taker = undefined;
        detach?.();
        detach = undefined;
      };
    },
    takeBack: (connection: Connection) => (current ? current.takeBack(connection) : connection.ws.terminate()),
    known: (connection: Connection) => current?.known(connection),
    get port() {
      return current?.port ?? 0;
    },
    get addresses() {
      return current?.addresses ?? [];
    },
    get strangers() {
      return current?.strangers ?? 0;
    },
  };
}
