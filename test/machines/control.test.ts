import { createActor } from 'xstate';
import { describe, expect, it } from 'vitest';
import { control, type ControlEvent, signalRefused } from '../../src/machines/control.ts';
import { createVirtualClock } from '../support/virtual-clock.ts';

function startControl({ allowSignal = false, restartsAgo = [] as number[] } = {}) {
  const clock = createVirtualClock(1_000_000);
  const warnings: string[] = [];
  const restarts: { at: number; reason: string }[] = [];
  const kinds: string[] = [];
  const actor = createActor(control, {
    clock,
    input: {
      env: { now: () => clock.now(), random: () => 0.5 },
      allowSignal,
      recentRestarts: restartsAgo.map((ms) => clock.now() - ms),
      ports: {
        warn: (message) => void warnings.push(message),
        restart(reason, kind) {
          restarts.push({ at: clock.now() - 1_000_000, reason });
          kinds.push(kind);
        },
      },
    },
  }).start();
  return { clock, warnings, restarts, kinds, send: (event: ControlEvent) => actor.send(event), state: () => actor.getSnapshot().value };
}

const signal: ControlEvent = { type: 'restart.signalled' };
const request = (delayMs: number, reason = 'config.apply'): ControlEvent => ({ type: 'restart.request', delayMs, reason });
type Step = ControlEvent | number;

describe('the restart region', () => {
  it.each<[story: string, allowSignal: boolean, steps: Step[], restarts: { at: number; reason: string }[], warnings: number]>([
    ['a signal is refused with one warning', false, [signal, 60_000], [], 1],
    ['a signal that is allowed acts at once', true, [signal, 0], [{ at: 0, reason: 'SIGUSR1' }], 0],
    ['a request waits for its delay', false, [request(2_000), 1_999, 1], [{ at: 2_000, reason: 'config.apply' }], 0],
    ['a delay is held between nothing and a minute', false, [request(999_999), 60_000], [{ at: 60_000, reason: 'config.apply' }], 0],
    ['a negative delay is none', false, [request(-5), 0], [{ at: 0, reason: 'config.apply' }], 0],
    [
      'requests merge: the earlier moment counts',
      false,
      [request(5_000, 'a'), 1_000, request(2_000, 'b'), 60_000],
      [{ at: 3_000, reason: 'a, b' }],
      0,
    ],
    [
      'a later request does not put it off',
      false,
      [request(2_000, 'a'), 1_000, request(9_000, 'b'), 60_000],
      [{ at: 2_000, reason: 'a, b' }],
      0,
    ],
    [
      'a signal joins a request and brings it forward',
      true,
      [request(9_000, 'a'), 1_000, signal, 60_000],
      [{ at: 1_000, reason: 'a, SIGUSR1' }],
      0,
    ],
    [
      'a request permits one signal on its behalf',
      false,
      [request(9_000, 'a'), 1_000, signal, 60_000],
      [{ at: 1_000, reason: 'a, SIGUSR1' }],
      0,
    ],
    ['what is taken back does not happen', true, [request(2_000), 1_000, { type: 'restart.withdraw' }, 60_000], [], 0],
    ['a permit ends with what it was given for', false, [request(2_000), { type: 'restart.withdraw' }, signal, 60_000], [], 1],
    ['while it is carried out nothing more is asked', true, [signal, 0, signal, request(0), 60_000], [{ at: 0, reason: 'SIGUSR1' }], 0],
  ])('%s', (_story, allowSignal, steps, restarts, warnings) => {
    const world = startControl({ allowSignal });
    for (const step of steps) {
      if (typeof step === 'number') world.clock.advance(step);
      else world.send(step);
    }
    expect(world.restarts).toEqual(restarts);
    expect(world.warnings).toEqual(Array.from({ length: warnings }, () => signalRefused));
  });

  it('names the key that would allow the signal', () => {
    expect(signalRefused).toContain('commands.restart');
  });

  it('lets five restarts in a minute pass and delays the sixth, with a warning', () => {
    const world = startControl({ allowSignal: true, restartsAgo: [50_000, 40_000, 30_000, 20_000, 10_000] });
    world.send(signal);
    world.clock.advance(9_999);
    expect(world.restarts).toEqual([]);
    expect(world.warnings).toHaveLength(1);
    world.send(signal);
    world.clock.advance(1);
    expect(world.restarts).toEqual([{ at: 10_000, reason: 'SIGUSR1' }]);
  });

  it('takes the stronger of the wishes, also while the weaker one is carried out', () => {
    const hard: ControlEvent = { type: 'restart.request', delayMs: 2_000, reason: 'update', kind: 'hard' };
    const merged = startControl();
    for (const event of [request(5_000), hard, request(9_000)]) merged.send(event);
    merged.clock.advance(60_000);
    expect(merged.restarts).toEqual([{ at: 2_000, reason: 'config.apply, update, config.apply' }]);
    expect(merged.kinds).toEqual(['hard']);
    const late = startControl();
    late.send(request(0));
    late.clock.advance(0);
    for (const event of [hard, hard, request(0)]) late.send(event);
    late.clock.advance(60_000);
    expect(late.kinds).toEqual(['soft', 'hard']);
  });

  it('lets a request join the one that waits for its turn', () => {
    const world = startControl({ restartsAgo: [50_000, 40_000, 30_000, 20_000, 10_000] });
    world.send(request(0, 'a'));
    world.clock.advance(100);
    world.send(request(0, 'b'));
    world.clock.advance(9_899);
    expect(world.restarts).toEqual([]);
    world.clock.advance(1);
    expect(world.restarts).toEqual([{ at: 10_000, reason: 'a, b' }]);
  });

  it('ends when it is asked to, and forgets what was scheduled', () => {
    const world = startControl();
    world.send(request(1_000));
    world.send({ type: 'gateway.drain' });
    world.clock.advance(60_000);
    expect(world.state()).toBe('stopped');
    expect(world.restarts).toEqual([]);
  });
});
