import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RootEvent, SignalName } from '../../src/machines/root.ts';
import { type RootWish, type RootWorld, startRoot } from '../support/start-root.ts';

const signal = (name: SignalName): RootEvent => ({ type: 'signal.received', name, at: 0 });
const restart: RootEvent = { type: 'restart.asked', reason: 'test' };
const hardRestart: RootEvent = { type: 'restart.asked', reason: 'update', kind: 'hard' };

describe('the way up', () => {
  it('goes through every phase and is ready', () => {
    const world = startRoot();
    expect(world.state()).toBe('running.ready');
    expect(world.story).toEqual(['+store', '+conversations', '+control', '+channels']);
    expect(world.context()['generation']).toBe(1);
  });

  it.each<[story: string, wish: RootWish, state: string]>([
    ['waits for its checks', { holdAt: 'preflight' }, 'preflight'],
    ['waits for the lock', { holdAt: 'lock' }, 'locking'],
    ['waits for the port', { holdAt: 'listener' }, 'binding'],
    ['waits for the core', { slow: ['store'] }, 'opening'],
    ['waits for the edge, and not for ever', { slow: ['channels'] }, 'starting'],
  ])('%s', (_story, wish, state) => {
    expect(startRoot(wish).state()).toBe(state);
  });

  it('is running after ten seconds although a part of the edge says nothing', () => {
    const world = startRoot({ slow: ['channels'] });
    world.clock.advance(9_999);
    expect(world.state()).toBe('starting');
    world.clock.advance(1);
    expect(world.state()).toBe('running.ready');
  });

  it.each<[phase: string, wish: RootWish, failing: string]>([
    ['preflight', { holdAt: 'preflight' }, 'config-invalid'],
    ['locking', { holdAt: 'lock' }, 'lock-held'],
  ])('%s: a fatal reason ends it with that code, and nothing was announced', (_phase, wish, code) => {
    const world = startRoot(wish);
    world.root.send({ type: 'boot.failed', failure: { code: code as 'lock-held', exitCode: 75, message: 'held', fix: '' } });
    expect(world.state()).toBe('failed');
    expect(world.output()).toMatchObject({ exitCode: 75, failure: { code } });
    expect(world.shutdowns).toEqual([]);
  });

  it('gives up with 74 when the core does not come up', () => {
    const world = startRoot({ slow: ['store'], limits: { openMs: 4_000 } });
    world.clock.advance(4_000);
    world.clock.advance(5_000);
    expect(world.output()).toMatchObject({ exitCode: 74, failure: { code: 'store-unavailable' } });
  });

  it('carries a restart out that was decided before it was running', () => {
    const world = startRoot({ slow: ['channels'] });
    world.root.send(restart);
    expect(world.state()).toBe('starting');
    world.clock.advance(10_000);
    world.clock.advance(10_000);
    expect(world.context()['generation']).toBe(2);
    world.clock.advance(60_000);
    expect(world.context()['generation']).toBe(2);
  });

  it('offers a SIGUSR1 of the start to the controller once it is running, and once', () => {
    const world = startRoot({ slow: ['channels'] });
    world.root.send(signal('SIGUSR1'));
    world.root.send(signal('SIGUSR1'));
    expect(world.story).not.toContain('signal to control');
    world.clock.advance(10_000);
    expect(world.story.filter((line) => line === 'signal to control')).toHaveLength(1);
  });

  it('offers a SIGUSR1 again when the controller was just being started anew', () => {
    const world = startRoot();
    world.part('control')?.die();
    world.clock.advance(0);
    world.part('control')?.die();
    // The second restart waits for its back-off, so there is no controller now.
    expect(world.root.system.get('control')).toBeUndefined();
    world.root.send(signal('SIGUSR1'));
    expect(world.context()['restartSignalled']).toBe(true);
    world.clock.advance(1_000);
    expect(world.root.system.get('control')).toBeDefined();
    expect(world.context()['restartSignalled']).toBe(false);
  });
});

describe('the way down', () => {
  it('announces, then ends the edge, then the core in reverse, then itself', () => {
    const world = startRoot();
    world.story.length = 0;
    world.root.send(signal('SIGTERM'));
    expect(world.story).toEqual([
      'shutdown gateway stopping',
      '?channels',
      '-channels',
      '?control',
      '-control',
      '?conversations',
      '-conversations',
      '?store',
      '-store',
    ]);
    expect(world.state()).toBe('stopped');
    expect(world.output()).toEqual({ exitCode: 0 });
    expect(world.listeners.open).toBe(0);
    expect(world.shutdowns).toEqual([{ type: 'shutdown', reason: 'gateway stopping' }]);
  });

  it('names what does not leave, abandons it, and is gone within the budget', () => {
    const world = startRoot({ deaf: ['channels', 'store'], runsHang: true });
    world.root.send(signal('SIGTERM'));
    world.clock.advance(4_999);
    world.clock.advance(1);
    expect(world.state()).toBe('stopped');
    expect(world.story.filter((line) => line.startsWith('abandoned'))).toEqual(['abandoned runs', 'abandoned edge']);
    expect(world.story).toContain('-store');
  });

  it('leaves at once with 130 on a second SIGINT, and ignores a second SIGTERM', () => {
    const world = startRoot({ deaf: ['channels'] });
    world.root.send(signal('SIGINT'));
    world.root.send(signal('SIGTERM'));
    expect(world.state()).toBe('stopping.closingEdge');
    expect(world.shutdowns).toHaveLength(1);
    world.root.send(signal('SIGINT'));
    expect(world.output()).toEqual({ exitCode: 130 });
  });

  it('is not announced twice by faults nobody owns', () => {
    const world = startRoot({ deaf: ['channels'] });
    world.root.send(signal('SIGTERM'));
    for (let count = 0; count < 10; count += 1) world.root.send({ type: 'fault.unowned', message: 'x' });
    expect(world.shutdowns).toHaveLength(1);
    world.clock.advance(5_000);
    expect(world.output()).toEqual({ exitCode: 0 });
  });
});

describe('a hard restart', () => {
  const announced = [{ type: 'shutdown', reason: 'gateway updating', restartExpectedMs: 6_500 }];

  it('waits for the runs, says that a successor is expected, and ends with 0', () => {
    const world = startRoot({ runsHang: true, limits: { drainMs: 10_000 } });
    world.root.send(hardRestart);
    world.clock.advance(9_999);
    expect(world.state()).toBe('draining');
    expect(world.shutdowns).toEqual([]);
    world.clock.advance(6_000);
    expect(world.shutdowns).toEqual(announced);
    expect(world.output()).toEqual({ exitCode: 0 });
  });

  it('takes over from a soft one that still waits, and a stop takes over from both', () => {
    const world = startRoot({ runsHang: true, limits: { drainMs: 10_000 } });
    for (const event of [restart, hardRestart]) world.root.send(event);
    world.clock.advance(16_000);
    expect(world.shutdowns).toEqual(announced);
    const stopped = startRoot({ runsHang: true });
    for (const event of [hardRestart, signal('SIGTERM')]) stopped.root.send(event);
    stopped.clock.advance(5_000);
    expect(stopped.shutdowns).toEqual([{ type: 'shutdown', reason: 'gateway stopping' }]);
    expect(stopped.output()).toEqual({ exitCode: 0 });
  });
});

describe('a soft restart', () => {
  it('rebuilds the tree under a new generation and keeps the listener', () => {
    const world = startRoot();
    world.story.length = 0;
    world.root.send(restart);
    expect(world.state()).toBe('running.ready');
    expect(world.shutdowns).toEqual([{ type: 'shutdown', reason: 'gateway restarting', restartExpectedMs: 1_500 }]);
    expect(world.story[0]).toBe('shutdown gateway restarting');
    expect(world.story.slice(-4)).toEqual(['+store', '+conversations', '+control', '+channels']);
    expect(world.context()['generation']).toBe(2);
    expect(world.listeners).toEqual({ open: 1, most: 1 });
  });

  it('waits for runs up to its limit, and may be cancelled until then', () => {
    const world = startRoot({ runsHang: true, limits: { drainMs: 1_000 } });
    world.root.send(restart);
    expect(world.state()).toBe('draining');
    world.root.send({ type: 'restart.cancelled' });
    expect(world.state()).toBe('running.ready');
    world.clock.advance(60_000);
    expect(world.context()['generation']).toBe(1);
    world.root.send(restart);
    world.clock.advance(1_000);
    world.clock.advance(1_000);
    world.clock.advance(1_000);
    expect(world.context()['generation']).toBe(2);
  });

  it('L-030 a SIGTERM while draining stops without waiting for the drain', () => {
    const world = startRoot({ runsHang: true });
    world.root.send(restart);
    expect(world.state()).toBe('draining');
    world.root.send(signal('SIGTERM'));
    expect(world.state()).toMatch(/^stopping/);
    world.clock.advance(5_000);
    expect(world.output()).toEqual({ exitCode: 0 });
    expect(world.shutdowns.map(({ reason }) => reason)).toEqual(['gateway stopping']);
  });

  it('is taken over by a stop without cutting off whoever is leaving', () => {
    const world = startRoot({ deaf: ['control'] });
    world.root.send(restart);
    expect(world.state()).toBe('restarting.closingCore');
    world.root.send(signal('SIGTERM'));
    expect(world.state()).toBe('stopping.closingCore');
    expect(world.story).not.toContain('-store');
    world.clock.advance(500);
    expect(world.story.slice(-2)).toEqual(['?store', '-store']);
    expect(world.output()).toEqual({ exitCode: 0 });
  });

  it('goes on with what it has when the file system hangs', () => {
    const world = startRoot({ holdAt: 'reread' });
    world.root.send(restart);
    expect(world.state()).toBe('rereading');
    world.clock.advance(2_000);
    expect(world.state()).toBe('running.ready');
  });

  it('survives a core that breaks while it is asked to leave', () => {
    const world = startRoot({ deaf: ['control'] });
    world.root.send(restart);
    for (let count = 0; count < 4; count += 1) world.part('store')?.die();
    world.clock.advance(5_000);
    expect(world.state()).toBe('running.ready');
    expect(world.context()['generation']).toBe(2);
  });
});

describe('what breaks', () => {
  it('starts exactly the core children after the one that crashed', () => {
    const world = startRoot();
    world.story.length = 0;
    world.part('conversations')?.die();
    world.clock.advance(1_000);
    expect(world.story.filter((line) => line.startsWith('+'))).toEqual(['+conversations', '+control']);
    expect(world.story).not.toContain('-store');
    expect(world.story).not.toContain('-channels');
    expect(world.state()).toBe('running.ready');
  });

  it('touches nobody else when the edge crashes', () => {
    const world = startRoot();
    world.story.length = 0;
    world.part('channels')?.die();
    world.clock.advance(1_000);
    expect(world.story).toEqual(['!channels', '+channels']);
  });

  it('ends with 70 on the fourth crash of the core in a minute, after saying so', () => {
    const world = startRoot();
    for (let count = 0; count < 4; count += 1) {
      world.part('store')?.die();
      world.clock.advance(5_000);
    }
    expect(world.output()).toMatchObject({ exitCode: 70, failure: { code: 'intensity-exceeded' } });
    expect(world.shutdowns).toEqual([{ type: 'shutdown', reason: 'gateway failed' }]);
  });

  it('bears three faults nobody owns in a minute, not four', () => {
    const world = startRoot();
    for (let count = 0; count < 3; count += 1) world.root.send({ type: 'fault.unowned', message: 'x' });
    world.clock.advance(60_000);
    for (let count = 0; count < 3; count += 1) world.root.send({ type: 'fault.unowned', message: 'x' });
    expect(world.state()).toBe('running.ready');
    world.root.send({ type: 'fault.unowned', message: 'x' });
    expect(world.output()).toMatchObject({ exitCode: 70 });
  });

  it('opens a crashed listener again, three times a minute, and never has two', () => {
    const world = startRoot();
    for (let count = 0; count < 3; count += 1) {
      world.part('listener')?.die();
      expect(world.state()).toBe('running.ready');
      expect(world.listeners).toEqual({ open: 1, most: 1 });
    }
    world.part('listener')?.die();
    expect(world.output()).toMatchObject({ exitCode: 70 });
    expect(world.shutdowns).toHaveLength(1);
  });
});

/** Steps that lead into every state there is, for the properties below. */
const ways: [name: string, wish: RootWish, events: RootEvent[]][] = [
  ['preflight', { holdAt: 'preflight' }, []],
  ['locking', { holdAt: 'lock' }, []],
  ['binding', { holdAt: 'listener' }, []],
  ['opening', { slow: ['store'] }, []],
  ['starting', { slow: ['channels'] }, []],
  ['running.ready', {}, []],
  ['running.degraded', {}, [{ type: 'edge.degraded' }]],
  ['draining', { runsHang: true }, [restart]],
  ['restarting.closingEdge', { deaf: ['channels'] }, [restart]],
  ['restarting.closingCore', { deaf: ['control'] }, [restart]],
  ['rereading', { holdAt: 'reread' }, [restart]],
  ['stopping.endingRuns', { runsHang: true }, [signal('SIGTERM')]],
  ['stopping.closingEdge', { deaf: ['channels'] }, [signal('SIGTERM')]],
  ['stopping.closingCore', { deaf: ['store'] }, [signal('SIGTERM')]],
];

describe('properties of every reachable state', () => {
  it.each(ways)('%s: a stop reaches an end within the budget, whoever hangs', (name, wish, events) => {
    for (const last of [signal('SIGTERM'), signal('SIGINT'), { type: 'stop.asked', reason: 'test' } satisfies RootEvent]) {
      // Where the way there does not need their answer, everybody hangs.
      const world = startRoot({ deaf: name === 'rereading' ? [] : ['channels', 'control', 'conversations', 'store'], ...wish });
      for (const event of events) world.root.send(event);
      expect(world.state()).toBe(name);
      const isUp = world.listeners.open > 0;
      world.root.send(last);
      world.clock.advance(5_000);
      expect(world.root.getSnapshot().status).toBe('done');
      expect(world.output()?.exitCode).toBe(
        name.startsWith('stopping') && last.type === 'signal.received' && last.name === 'SIGINT' ? 130 : 0,
      );
      expect(world.listeners.open).toBe(0);
      expect(isUp || name === 'preflight' || name === 'locking').toBe(true);
    }
  });

  const moves = fc.constantFrom<Move>(
    ['SIGUSR1', ({ root }) => root.send(signal('SIGUSR1'))],
    ['restart', ({ root }) => root.send(restart)],
    ['hard restart', ({ root }) => root.send(hardRestart)],
    ['store breaks', ({ part }) => part('store')?.die()],
    ['conversations break', ({ part }) => part('conversations')?.die()],
    ['channels break', ({ part }) => part('channels')?.die()],
    ['listener breaks', ({ part }) => part('listener')?.die()],
    ['fault', ({ root }) => root.send({ type: 'fault.unowned', message: 'x' })],
    ['200 ms', ({ clock }) => clock.advance(200)],
    ['3 s', ({ clock }) => clock.advance(3_000)],
    ['70 s', ({ clock }) => clock.advance(70_000)],
    ['SIGTERM', ({ root }) => root.send(signal('SIGTERM'))],
  );

  it('holds for any order of signals, restarts, crashes, hangs and time: one listener, one announcement per end', () => {
    fc.assert(
      fc.property(
        fc.array(moves, { maxLength: 12 }),
        fc.subarray(['channels', 'control', 'store']),
        fc.boolean(),
        (steps, deaf, runsHang) => {
          const world = startRoot({ deaf, runsHang, limits: { drainMs: 1_000 } });
          let entries = 0;
          let phase = 'running';
          world.root.subscribe(() => {
            const next = world.state().split('.')[0] as string;
            if (next !== phase && (next === 'restarting' || next === 'stopping')) entries += 1;
            phase = next;
          });
          for (const [, move] of steps) {
            if (world.root.getSnapshot().status !== 'active') break;
            move(world);
            expect(world.listeners.most).toBeLessThanOrEqual(1);
          }
          const wasActive = world.root.getSnapshot().status === 'active';
          if (wasActive) {
            // No restart is lost, and none comes twice: asked once from here, it takes place once.
            world.clock.advance(120_000);
            if (world.root.getSnapshot().status === 'active') {
              const before = world.context()['generation'] as number;
              world.root.send(restart);
              world.clock.advance(120_000);
              expect(world.context()['generation']).toBe(before + 1);
              expect(world.state()).toBe('running.ready');
              expect(world.listeners.open).toBe(1);
              world.root.send(signal('SIGTERM'));
              world.clock.advance(5_000);
            }
          }
          world.clock.advance(10_000);
          const { status } = world.root.getSnapshot() as { status: string };
          expect(status).toBe('done');
          expect(world.shutdowns).toHaveLength(entries);
          expect(world.listeners.open).toBe(0);
          expect(neverAskedBeforeAnnounced(world.story)).toBe(true);
        },
      ),
      { numRuns: 400 },
    );
  });
});

type Move = [name: string, move: (world: RootWorld) => void];

/** The edge is asked to leave once for each announcement, and after it. */
function neverAskedBeforeAnnounced(story: readonly string[]): boolean {
  let announced = false;
  for (const line of story) {
    if (line.startsWith('shutdown')) announced = true;
    else if (line === '?channels') {
      if (!announced) return false;
      announced = false;
    }
  }
  return true;
}
