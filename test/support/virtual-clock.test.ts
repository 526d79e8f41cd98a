import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createVirtualClock } from './virtual-clock.ts';

it('fires timers in order of their due time, then of their creation', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 60 }), (delays) => {
      const clock = createVirtualClock();
      const fired: [due: number, index: number][] = [];
      delays.forEach((delay, index) => clock.setTimeout(() => fired.push([clock.now(), index]), delay));
      clock.advance(100);
      const expected = delays.map((delay, index) => [delay, index] as const).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      expect(fired).toEqual(expected);
      expect(clock.pending).toBe(0);
    }),
  );
});

it('lets a ticker of 10 ms fire ten times in 100 ms', () => {
  const clock = createVirtualClock();
  const at: number[] = [];
  const tick = () => {
    at.push(clock.now());
    clock.setTimeout(tick, 10);
  };
  clock.setTimeout(tick, 10);
  clock.advance(100);
  expect(at).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
});

it('forgets a timer that was cleared, also one that is due at the same moment', () => {
  const clock = createVirtualClock(1_000);
  const fired: string[] = [];
  const second = { id: 0 };
  clock.setTimeout(() => {
    fired.push('first');
    clock.clearTimeout(second.id);
  }, 5);
  second.id = clock.setTimeout(() => fired.push('second'), 5);
  clock.advance(5);
  expect(fired).toEqual(['first']);
  expect(clock.now()).toBe(1_005);
  expect(clock.pending).toBe(0);
});
