import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createActor, type AnyStateMachine, StateMachine } from 'xstate';
import { expect, it } from 'vitest';
import { notProvided } from '../../src/machines/not-provided.ts';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../src/machines');

// A target that does not exist is thrown only when the chart is made, so every one of them has to be made.
const modules = await Promise.all(
  readdirSync(folder).map(async (name) =>
    Object.entries((await import(pathToFileURL(join(folder, name)).href)) as Record<string, unknown>),
  ),
);
const charts = modules.flat().filter((entry): entry is [string, AnyStateMachine] => entry[1] instanceof StateMachine);

it('finds the charts', () => {
  expect(charts.map(([name]) => name).sort()).toEqual(
    ['agentRun', 'channelAccount', 'clientSession', 'control', 'conversation', 'outboxLane', 'root', 'supervisor'].sort(),
  );
});

it.each(charts)('%s names everything it does, so that a drawing of it says what happens', (_name, chart) => {
  const unnamed = JSON.stringify(chart.definition, (_key, value: unknown) => (typeof value === 'function' ? '(function)' : value));
  expect(unnamed).not.toContain('inline:');
  expect(chart.id).toBe(_name);
});

it.each(charts)('%s cannot loop for ever without an event', (_name, chart) => {
  const { always } = JSON.parse(JSON.stringify(chart.config)) as { always?: unknown };
  const loops = JSON.stringify(chart.definition).includes('"always":[{') || always !== undefined;
  if (loops) expect((chart as unknown as { options?: { maxIterations?: number } }).options?.maxIterations).toBe(1_000);
});

it('a slot that nobody filled names itself', () => {
  const errors: unknown[] = [];
  const actor = createActor(notProvided('link'));
  actor.subscribe({ error: (error) => errors.push(error) });
  actor.start();
  expect(String(errors[0])).toContain("slot 'link'");
});
