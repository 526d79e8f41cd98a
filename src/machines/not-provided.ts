import { fromCallback } from 'xstate';

/** Fills an I/O slot of a chart. Whoever forgets to provide the real actor is told which one. */
export const notProvided = <TInput = unknown>(slot: string) =>
  fromCallback<{ type: string }, TInput>(() => {
    throw new Error(`No actor was provided for the slot '${slot}'`);
  });
