/** Ports that are of no use: one that accepts and never says a word, and one where nobody listens. */
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface BlackHole {
  port: number;
  close(): Promise<void>;
}

export async function startBlackHole(): Promise<BlackHole> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    // The client gives up sooner or later, and may do so with a reset.
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** A port that was free a moment ago: a connection to it is refused. */
export async function refusedPort(): Promise<number> {
  const { port, close } = await startBlackHole();
  await close();
  return port;
}
