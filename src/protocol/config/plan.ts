/**
 * What a change of the configuration costs. Until parts of the gateway take changes over while they run, whatever the
 * gateway reads takes a soft restart; what nobody here reads costs nothing. Pure.
 */
import { configKeys } from './keys.ts';
import { ignored as bookkeeping, isObject, sections } from './parse.ts';
import { isSame } from './same.ts';

type Json = Record<string, unknown>;

export interface Plan {
  class: 'none' | 'soft';
  /** Paths that say something else than what is in force. */
  changed: string[];
  actions: string[];
  /** Those of them that only a new process takes over. */
  ignored: string[];
}

/** Read once by the process: its log is open, its budgets are set. */
const processOnly = ['logging', 'gateway.drainMs', 'gateway.shutdownMs'];
/** A soft restart keeps the port and the secrets of the process; clients still have to introduce themselves again. */
const keptByProcess = ['gateway.port', 'gateway.bind', 'gateway.customBindHost', 'gateway.auth'];
/** For clients on this machine. */
const notOurs = ['gateway.remote'];

const isIn = (path: string, places: readonly string[]) => places.some((place) => path === place || path.startsWith(`${place}.`));

export function planOf(applied: object, next: object): Plan {
  const changed = changedPaths(applied as Json, next as Json);
  const needs = changed.some((path) => {
    const row = Object.hasOwn(configKeys, path) ? configKeys[path] : undefined;
    return row !== undefined && row.inert !== true && !isIn(path, processOnly) && !isIn(path, notOurs);
  });
  return {
    class: needs ? 'soft' : 'none',
    changed,
    actions: [],
    ignored: changed.filter((path) => isIn(path, processOnly) || isIn(path, keptByProcess)),
  };
}

function changedPaths(before: Json, after: Json, path = ''): string[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) => {
    const here = path === '' ? key : `${path}.${key}`;
    const pair = [before[key], after[key]];
    const hasKeys = sections.has(here) && !Object.hasOwn(configKeys, here) && pair.every((value) => value === undefined || isObject(value));
    if (hasKeys) return changedPaths((pair[0] ?? {}) as Json, (pair[1] ?? {}) as Json, here);
    return bookkeeping.has(here) || isSame(pair[0], pair[1]) ? [] : [here];
  });
}
