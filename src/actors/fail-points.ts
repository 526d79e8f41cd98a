/**
 * Named places where a test may crash, hang, delay or break the gateway. Read once from `OPENCLAW_FAIL_POINTS`
 * (`name:count:action`, comma separated: the action happens at the count-th passage), and only with `OPENCLAW_TEST=1`;
 * otherwise a fail point is one comparison.
 */
import { EventEmitter } from 'node:events';
import { Readable } from 'node:stream';

type Action = 'crash' | 'exit' | 'raise' | 'hang' | `delay-${number}`;

interface Armed {
  left: number;
  action: Action;
}

const armed = read();

function read(): Map<string, Armed> | undefined {
  const { OPENCLAW_TEST, OPENCLAW_FAIL_POINTS, NODE_ENV } = process.env;
  if (OPENCLAW_TEST !== '1' || NODE_ENV === 'production' || !OPENCLAW_FAIL_POINTS) return undefined;
  return new Map(
    OPENCLAW_FAIL_POINTS.split(',').map((text) => {
      const [name = '', count = '1', action = 'crash'] = text.trim().split(':');
      return [name, { left: Number(count), action: action as Action }];
    }),
  );
}

function due(name: string): Action | undefined {
  const point = armed?.get(name);
  if (point === undefined) return undefined;
  point.left -= 1;
  return point.left === 0 ? point.action : undefined;
}

function act(name: string, action: Action): void {
  if (action === 'crash') process.kill(process.pid, 'SIGKILL');
  // Of a worker thread only the thread.
  if (action === 'exit') process.exit(1);
  if (action === 'raise') throw new Error(`fail point ${name}`);
}

export function failPoint(name: string): void {
  if (armed === undefined) return;
  const action = due(name);
  if (action !== undefined) act(name, action);
}

/** As `failPoint`, and may also hang for ever or for a while. */
export async function failPointAsync(name: string): Promise<void> {
  if (armed === undefined) return;
  const action = due(name);
  if (action === undefined) return;
  act(name, action);
  if (action === 'hang') await new Promise(() => {});
  if (action.startsWith('delay-')) await new Promise((resolve) => setTimeout(resolve, Number(action.slice('delay-'.length))));
}

/** The ways in which code of an actor can go wrong. `late`: it ends, and something it left behind rejects afterwards. */
export type Breakage = 'throw' | 'reject' | 'late' | 'emit' | 'timer' | 'stream';

/** Living I/O actors by path, each with what breaks it. Only while fail points are armed. */
export const breakable: Map<string, (how: Breakage) => void> | undefined = armed && new Map();

/** Breakages for actors that live too briefly to be caught: by the name an actor has within its parent, once. */
export const breakAtStart: Map<string, Breakage> | undefined = armed && new Map();

/** Runs inside the actor. Everything but `throw` happens where no `guard` is, as a library would do it. */
export function breakNow(how: Breakage, guard: (callback: () => unknown) => () => void): void {
  const error = new Error(`fail point ${how}`);
  const fail = () => {
    throw error;
  };
  if (how === 'throw') guard(fail)();
  else if (how === 'reject') void Promise.reject(error);
  else if (how === 'emit') setImmediate(() => new EventEmitter().emit('error', error));
  else if (how === 'timer') setTimeout(fail, 0);
  else if (how === 'stream') Readable.from(['x']).on('data', fail);
  else {
    setTimeout(() => void Promise.reject(error), 30);
    guard(fail)();
  }
}
