/**
 * Takes the messages of one client in order, and no faster than it can be served: while the client does not read its
 * answers, has too much in work, or has used up its turn of the event loop, its socket is not read. What had been read
 * already waits in the connection's backlog, which one read of the socket bounds.
 */
import type { RawData } from 'ws';
import type { IoScope } from '../io.ts';
import type { Connection } from './connection.ts';

/** What one client may have in work. An ordinary request weighs 16; one that only waits weighs 1. */
const maxLoad = 512;
export const weightOf = { ordinary: 16, waiting: 1 };
/** For this long one client may keep everybody else waiting; then it is their turn. */
const turnMs = 5;

export interface Intake {
  /** A request is in work until the returned function is called. */
  begin(weight: number): () => void;
  /** Listens no longer. What is left in the backlog is for the next listener. */
  stop(): void;
}

type Hold = { for: 'reader' | 'load' | 'turn'; release: () => void };

export function createIntake(connection: Connection, guard: IoScope<unknown>['guard'], serve: (data: RawData) => void): Intake {
  const { backlog, ws, socket } = connection;
  let hold: Hold | undefined;
  let load = 0;
  let turnFrom = 0;
  let lastAt = 0;

  function take(data: RawData) {
    if (hold) {
      backlog.push(data);
      return;
    }
    const from = performance.now();
    // The loop was elsewhere since the last message: this is a new turn.
    if (from - lastAt > 1) turnFrom = from;
    serve(data);
    lastAt = performance.now();
    pauseIfNeeded();
  }

  function pauseIfNeeded() {
    const why = connection.isBehind ? 'reader' : load >= maxLoad ? 'load' : lastAt - turnFrom > turnMs ? 'turn' : undefined;
    if (why === undefined) return;
    hold = { for: why, release: connection.holdBack() };
    if (why === 'reader') socket.once('drain', goOn);
    else if (why === 'turn') setImmediate(goOn);
  }

  const goOn = guard(() => {
    const { release } = hold ?? {};
    hold = undefined;
    lastAt = 0;
    pauseIfNeeded();
    replay();
    release?.();
  });

  function replay() {
    while (backlog.length > 0 && !hold && connection.isOpen) take(backlog.shift() as RawData);
  }

  const onMessage = guard(take);
  ws.on('message', onMessage);
  // In a turn of its own: whoever listens now has not finished starting.
  if (backlog.length > 0) setImmediate(guard(replay));

  return {
    begin(weight) {
      load += weight;
      return () => {
        load -= weight;
        if (hold?.for === 'load' && load < maxLoad) goOn();
      };
    },
    stop() {
      ws.off('message', onMessage);
      socket.off('drain', goOn);
      hold?.release();
      hold = undefined;
    },
  };
}
