/** The smallest client: opens, says hello, and gives raw access. */
import { WebSocket } from 'ws';

export interface Peer {
  url: string;
  token: string;
}

export const connectFrame = (token: string, mode = 'cli', instance = 'bench') =>
  JSON.stringify({
    type: 'req',
    id: 'hello',
    method: 'connect',
    params: {
      minProtocol: 3,
      maxProtocol: 3,
      client: { id: 'cli', version: '1', platform: 'linux', mode, instanceId: instance },
      auth: { token },
    },
  });

/** Resolves with the open socket once the greeting came; rejects when it is refused or closed. */
export function open({ url, token }: Peer, { mode = 'cli', instance = 'bench', timeoutMs = 20_000 } = {}): Promise<WebSocket> {
  const ws = new WebSocket(url, { perMessageDeflate: false, maxPayload: 64 * 1024 * 1024 });
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      clearTimeout(timer);
      ws.terminate();
      reject(new Error(why));
    };
    const timer = setTimeout(() => fail('timeout'), timeoutMs);
    const onClose = (code: number) => fail(`closed ${code}`);
    ws.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    ws.once('close', onClose);
    ws.on('open', () => ws.send(connectFrame(token, mode, instance)));
    ws.on('message', function onMessage(data: Buffer) {
      const text = data.toString();
      if (!text.startsWith('{"type":"res"')) return;
      ws.off('message', onMessage);
      ws.off('close', onClose);
      clearTimeout(timer);
      if (text.includes('"ok":true')) resolve(ws);
      else reject(new Error(text.slice(0, 200)));
    });
  });
}

/** Opens many, a few at a time: a crowd that arrives at once is measured elsewhere. */
export async function openMany(peer: Peer, count: number, options: { mode?: string; atOnce?: number } = {}): Promise<WebSocket[]> {
  const { atOnce = 32, mode } = options;
  const sockets: WebSocket[] = [];
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next++;
      sockets.push(await open(peer, { instance: `bench-${index}`, ...(mode === undefined ? {} : { mode }) }));
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
  return sockets;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
