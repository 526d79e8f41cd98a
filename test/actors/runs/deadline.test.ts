import { expect, it, onTestFinished } from 'vitest';
import type { ModelPart } from '../../../src/actors/runs/models/contract.ts';
import { deadlineOf } from '../../../src/actors/runs/deadline.ts';
import { startDesk } from '../../support/start-desk.ts';

it.each<[requested: number | undefined, configured: number, effective: number]>([
  [undefined, 600_000, 600_000],
  [1_000, 600_000, 1_000],
  [900_000, 600_000, 900_000],
  [365 * 24 * 3_600_000, 600_000, 24 * 3_600_000],
  [undefined, Number.MAX_SAFE_INTEGER, 24 * 3_600_000],
])('F-20 with %j asked for and %j configured a run has %j ms', (requested, configured, effective) => {
  expect(deadlineOf(requested, configured)).toBe(effective);
});

it.each<[what: string, requested: number | undefined, configured: number, stall: number, says: string]>([
  ['the request', 100, 60_000, 60_000, 'took longer than 0.1 s (the timeout of the request)'],
  ['the request, although it asks for more', 150, 50, 60_000, 'took longer than 0.15 s (the timeout of the request)'],
  ['the configuration', undefined, 120, 60_000, 'took longer than 0.12 s (agents.defaults.timeoutSeconds)'],
  ['the progress', 60_000, 60_000, 130, 'made no progress for 0.13 s (agents.defaults.stallSeconds)'],
])('F-20 the limit that ends a run is the one it reports: %s', async (_what, requested, timeoutMs, stallMs, says) => {
  const desk = await startDesk({
    // oxlint-disable-next-line require-yield -- It never says a word.
    async *step(): AsyncIterable<ModelPart> {
      await new Promise(() => {});
    },
    settings: { timeoutMs, stallMs },
  });
  onTestFinished(() => desk.close());
  const run = await desk.runs.submit(
    desk.input('hello', { request: { message: 'hello', ...(requested === undefined ? {} : { timeoutMs: requested }) } }),
  );
  run.begin();
  const { error } = await run.ended;
  expect(error).toMatchObject({ code: 'AGENT_TIMEOUT', message: expect.stringContaining(says) });
  const { run: row } = await desk.store.call('runs.get', { runId: run.runId });
  const effective = Math.min(deadlineOf(requested, timeoutMs), stallMs);
  expect((row?.endedAt ?? 0) - (row?.startedAt ?? 0)).toBeGreaterThanOrEqual(effective - 10);
});
