/** Who arrives in a crowd waits; who is in already does not. */
import { expect, it } from 'vitest';
import { createTurnstile } from '../../../src/actors/hub/turnstile.ts';

const guard =
  <A extends unknown[]>(callback: (...args: A) => unknown) =>
  (...args: A) =>
    void callback(...args);

const turn = () => new Promise<void>((resolve) => void setImmediate(resolve));

/** Each newcomer takes a millisecond. */
function startTurnstile() {
  const taken: number[] = [];
  const turnstile = createTurnstile<number>(guard, (newcomer) => {
    const from = performance.now();
    while (performance.now() - from < 1);
    taken.push(newcomer);
  });
  const arrive = (count: number) => {
    for (let index = 0; index < count; index += 1) turnstile.pass(index);
  };
  return { turnstile, taken, arrive };
}

it('lets somebody who comes alone pass at once, also a second time', async () => {
  const { arrive, taken } = startTurnstile();
  arrive(1);
  expect(taken).toEqual([0]);
  await turn();
  arrive(1);
  expect(taken).toEqual([0, 0]);
});

it('spreads a crowd over many turns of the loop, in the order of arrival', async () => {
  const { turnstile, arrive, taken } = startTurnstile();
  arrive(40);
  const perTurn: number[] = [taken.length];
  while (turnstile.waiting > 0) {
    const before = taken.length;
    await turn();
    perTurn.push(taken.length - before);
  }
  // Two milliseconds a turn, and the one that was begun.
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(3);
  expect(taken).toEqual(Array.from({ length: 40 }, (_, index) => index));
});

it('gives back who is still waiting when it stops, and takes none of them', async () => {
  const { turnstile, arrive, taken } = startTurnstile();
  arrive(10);
  const inside = [...taken];
  expect([...inside, ...turnstile.stop()]).toEqual(Array.from({ length: 10 }, (_, index) => index));
  await turn();
  expect(taken).toEqual(inside);
  expect(turnstile.waiting).toBe(0);
});
