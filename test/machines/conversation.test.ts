import { expect, it } from 'vitest';
import { createActor, fromCallback } from 'xstate';
import { agentRun } from '../../src/machines/agent-run.ts';
import { conversation, type ConversationEvent, type Ending, type RunTicket } from '../../src/machines/conversation.ts';
import { createRandom } from '../support/kill.ts';
import { createVirtualClock } from '../support/virtual-clock.ts';

type Place = 'laneSlot' | 'prepare' | 'modelStep' | 'tools' | 'delivery';

/** What an actor of a run does when it is its turn. */
type Behaviour = 'works' | 'hangs' | 'breaks' | 'breaksLater';

const timeoutMs = 600_000;
const stallMs = 180_000;
const deliveryLimitMs = 75_000;

const ticket = (runId: string, more: Partial<RunTicket> = {}): RunTicket => ({
  runId,
  lane: 'main',
  timeoutMs,
  stallMs,
  maxSteps: 5,
  resumed: false,
  ...more,
});

/**
 * A conversation on a virtual clock. `behaviour` says what each place does for each run; a run asks for tools once, then
 * answers. Everything that works takes a second.
 */
function startConversation(first: RunTicket, behaviour: (place: Place, runId: string) => Behaviour = () => 'works', parked = false) {
  const clock = createVirtualClock();
  const ends: { runId: string; ending: Ending; at: number }[] = [];
  const steps: string[] = [];
  const live = new Set<string>();
  const usedTools = new Set<string>();
  let left = 0;

  const place = (name: Place, answer: (runId: string) => { type: string; [more: string]: unknown }) =>
    fromCallback<{ type: string }, { runId: string }>(({ input: { runId }, sendBack, receive, self }) => {
      const what = behaviour(name, runId);
      steps.push(`${name} ${runId}`);
      if (what === 'breaks') throw new Error(`${name} broke`);
      live.add(`${name} ${runId}`);
      receive(() => {
        live.delete(`${name} ${runId}`);
        throw new Error(`${name} broke later`);
      });
      const act = () => (what === 'works' ? sendBack(answer(runId)) : self.send({ type: 'break' }));
      const timer = what === 'hangs' ? undefined : clock.setTimeout(act, name === 'laneSlot' ? 0 : 1_000);
      return () => {
        live.delete(`${name} ${runId}`);
        if (timer !== undefined) clock.clearTimeout(timer);
      };
    }) as never;

  const run = agentRun.provide({
    actors: {
      laneSlot: place('laneSlot', () => ({ type: 'slot.granted' })),
      prepare: place('prepare', () => ({ type: 'run.prepared' })),
      modelStep: place('modelStep', (runId) => ({ type: usedTools.has(runId) ? 'step.text' : 'step.tools' })),
      tools: place('tools', (runId) => {
        usedTools.add(runId);
        return { type: 'tools.ended' };
      }),
    },
  });
  const delivery = fromCallback<{ type: string }, { runId: string; ending: Ending }>(
    ({ input: { runId, ending }, sendBack, receive, self }) => {
      const what = behaviour('delivery', runId);
      receive(() => {
        throw new Error('delivery broke later');
      });
      if (what === 'breaks') throw new Error('delivery broke');
      if (what === 'breaksLater') clock.setTimeout(() => self.send({ type: 'break' }), 5);
      const write = () => {
        ends.push({ runId, ending, at: clock.now() });
        sendBack({ type: 'delivery.ended', runId });
      };
      const timer = what === 'works' ? clock.setTimeout(write, 10) : undefined;
      return () => {
        if (timer !== undefined) clock.clearTimeout(timer);
      };
    },
  );
  const registration = fromCallback(() => () => {
    left += 1;
  });
  const actor = createActor(conversation.provide({ actors: { run, delivery: delivery as never, registration: registration as never } }), {
    clock,
    input: { sessionKey: 'agent:main:main', parked, first },
  });
  const errors: unknown[] = [];
  actor.subscribe({ error: (error) => errors.push(error) });
  actor.start();
  return {
    actor,
    clock,
    ends,
    steps,
    live,
    errors,
    get left() {
      return left;
    },
    say: (...events: ConversationEvent[]) => events.forEach((event) => actor.send(event)),
    endOf: (runId: string) => ends.filter((end) => end.runId === runId),
  };
}

const submitted = (runId: string, more?: Partial<RunTicket>) => ({ type: 'run.submitted', ticket: ticket(runId, more) }) as const;

it('runs one after the other, and ends when nothing is left', () => {
  const world = startConversation(ticket('a'));
  world.say(submitted('b'));
  world.clock.advance(60_000);
  expect(world.ends.map(({ runId, ending }) => [runId, ending.state])).toEqual([
    ['a', 'done'],
    ['b', 'done'],
  ]);
  expect(world.actor.getSnapshot().status).toBe('done');
  expect(world.clock.pending).toBe(0);
  expect(world.left).toBe(1);
});

it.each<[place: Place, ends: Partial<Ending> | undefined, by: number]>([
  ['laneSlot', { state: 'timedOut', what: 'queue' }, 30 * 60_000],
  ['prepare', { state: 'timedOut', what: 'stall' }, stallMs],
  ['modelStep', { state: 'timedOut', what: 'stall' }, stallMs],
  ['tools', { state: 'timedOut', what: 'stall' }, stallMs],
  ['delivery', undefined, deliveryLimitMs],
])('F-06 a run that hangs in %s is ended without its help, and the next one begins', (where, ends, by) => {
  const world = startConversation(ticket('a'), (place, runId) => (runId === 'a' && place === where ? 'hangs' : 'works'));
  world.say(submitted('b'));
  // Everything up to the hang takes at most five seconds, and writing the end down takes ten milliseconds.
  world.clock.advance(by + 5_000 + 10);
  expect(world.endOf('a').map(({ ending }) => ending)).toEqual(ends === undefined ? [] : [ends]);
  expect([...world.live].filter((name) => name.endsWith(' a'))).toEqual([]);
  expect(world.steps).toContain('laneSlot b');
  world.clock.advance(60_000);
  expect(world.endOf('b').map(({ ending }) => ending.state)).toEqual(['done']);
  expect(world.actor.getSnapshot().status).toBe('done');
});

it('F-06 a run that shows progress for ever is ended by its deadline', () => {
  const world = startConversation(ticket('a'), (place) => (place === 'modelStep' ? 'hangs' : 'works'));
  world.say(submitted('b'));
  for (let at = 0; at < timeoutMs; at += 60_000) {
    world.clock.advance(60_000);
    if (world.endOf('a').length === 0) world.say({ type: 'run.progress', runId: 'a' });
  }
  world.clock.advance(10);
  expect(world.endOf('a').map(({ ending }) => ending)).toEqual([{ state: 'timedOut', what: 'deadline' }]);
  expect(world.endOf('a')[0]?.at).toBe(timeoutMs + 10);
  expect(world.live).toContain('laneSlot b');
});

it.each<[Place, Behaviour]>(
  (['laneSlot', 'prepare', 'modelStep', 'tools', 'delivery'] as const).flatMap((place) => [
    [place, 'breaks'],
    [place, 'breaksLater'],
  ]),
)('F-06 a run whose %s %s does not take its conversation along', (where, how) => {
  const world = startConversation(ticket('a'), (place, runId) => (runId === 'a' && place === where ? how : 'works'));
  world.say(submitted('b'));
  world.clock.advance(6_000);
  expect([...world.live].filter((name) => name.endsWith(' a'))).toEqual([]);
  world.clock.advance(60_000);
  expect(world.endOf('a').map(({ ending }) => ending.state)).toEqual(where === 'delivery' ? [] : ['failed']);
  expect(world.endOf('b').map(({ ending }) => ending.state)).toEqual(['done']);
  expect(world.errors).toEqual([]);
  expect(world.actor.getSnapshot().status).toBe('done');
  // Its place in the lane above all: who keeps it keeps everybody else out.
  expect([...world.live]).toEqual([]);
});

it('the deadline counts from the slot, not from the acceptance', () => {
  const world = startConversation(ticket('a'), (place) => (place === 'modelStep' ? 'hangs' : 'works'));
  world.say(submitted('b', { timeoutMs: 5_000 }));
  world.clock.advance(stallMs + 10);
  expect(world.endOf('a')).toHaveLength(1);
  expect(world.endOf('b')).toEqual([]);
  world.clock.advance(5_010);
  expect(world.endOf('b').map(({ ending }) => ending)).toEqual([{ state: 'timedOut', what: 'deadline' }]);
});

it('F-20 ends at once who is aborted while it waits, and leaves the run in progress alone', () => {
  const world = startConversation(ticket('a'), (place) => (place === 'modelStep' ? 'hangs' : 'works'));
  world.say(submitted('b'), submitted('c'));
  world.clock.advance(5_000);
  world.say({ type: 'run.abort', runId: 'b', by: 'rpc' });
  world.clock.advance(10);
  expect(world.ends.map(({ runId, ending }) => [runId, ending])).toEqual([['b', { state: 'aborted', by: 'rpc' }]]);
  expect(world.live).toContain('modelStep a');
  world.say({ type: 'run.abort', runId: 'a', by: 'stop' });
  expect([...world.live]).toEqual([]);
  world.clock.advance(20);
  expect(world.endOf('a').map(({ ending }) => ending)).toEqual([{ state: 'aborted', by: 'stop' }]);
  expect(world.live).toContain('laneSlot c');
});

it('a key that is also the name of a member of every object is a key like any other', () => {
  const world = startConversation(ticket('constructor'));
  world.say(submitted('toString'), submitted('__proto__'));
  world.clock.advance(60_000);
  expect(world.ends.map(({ runId, ending }) => [runId, ending.state])).toEqual([
    ['constructor', 'done'],
    ['toString', 'done'],
    ['__proto__', 'done'],
  ]);
});

it('an abort of all while parked ends everybody before the restart and not after it', () => {
  const world = startConversation(ticket('a'), () => 'works', true);
  world.say(submitted('b'), { type: 'run.abort', by: 'rpc' });
  world.clock.advance(10);
  expect(world.ends.map(({ runId }) => runId)).toEqual(['a', 'b']);
  expect(world.steps).toEqual([]);
  expect(world.actor.getSnapshot().status).toBe('done');
});

it('an abort of one of two while parked leaves the other parked', () => {
  const world = startConversation(ticket('a'), () => 'works', true);
  world.say(submitted('b'), { type: 'run.abort', runId: 'b', by: 'rpc' });
  world.clock.advance(10);
  expect(world.ends.map(({ runId }) => runId)).toEqual(['b']);
  expect(world.actor.getSnapshot().value).toBe('parked');
  world.say({ type: 'runs.unpark' });
  world.clock.advance(60_000);
  expect(world.endOf('a').map(({ ending }) => ending.state)).toEqual(['done']);
});

it('a shutdown while an end is being written begins nothing after it', () => {
  const world = startConversation(ticket('a'), (place, runId) => (place === 'delivery' && runId === 'a' ? 'hangs' : 'works'));
  world.say(submitted('b'));
  world.clock.advance(5_000);
  expect(world.actor.getSnapshot().value).toBe('delivering');
  world.say({ type: 'run.abort', by: 'shutdown' }, { type: 'delivery.ended', runId: 'a' });
  expect(world.actor.getSnapshot().value).toBe('parked');
  expect(world.steps.filter((step) => step.endsWith(' b'))).toEqual([]);
});

it('a withdrawal that nobody can write down holds up nobody', () => {
  for (const trouble of ['hangs', 'breaks', 'breaksLater'] as const) {
    const world = startConversation(ticket('a'), (place, runId) => (place === 'delivery' && runId === 'b' ? trouble : 'works'));
    world.say(submitted('b'), { type: 'run.abort', runId: 'b', by: 'rpc' });
    world.clock.advance(deliveryLimitMs + 10);
    expect(world.ends.map(({ runId }) => runId)).toEqual(['a']);
    expect(world.errors).toEqual([]);
    expect(world.actor.getSnapshot().status).toBe('done');
    expect(world.clock.pending).toBe(0);
  }
});

it('takes a run that comes while the last withdrawals are written down', () => {
  const world = startConversation(ticket('a'));
  world.say({ type: 'run.abort', by: 'rpc' });
  expect(world.actor.getSnapshot().value).toBe('clearing');
  world.say(submitted('b'));
  world.clock.advance(60_000);
  expect(world.ends.map(({ runId, ending }) => [runId, ending.state])).toEqual([
    ['a', 'aborted'],
    ['b', 'done'],
  ]);
});

it('F-06 A-009 whatever happens, each run ends once, and nothing waits while nothing goes on', () => {
  const places: Place[] = ['laneSlot', 'prepare', 'modelStep', 'tools', 'delivery'];
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = createRandom(seed);
    const trouble = new Map<string, Behaviour>();
    const ids = Array.from({ length: random.between(1, 6) }, (_, index) => `run${index}`);
    for (const id of ids)
      if (random.next() < 0.5) trouble.set(`${random.pick(places)} ${id}`, random.pick(['hangs', 'breaks', 'breaksLater'] as const));
    const world = startConversation(ticket(ids[0] as string), (place, runId) => trouble.get(`${place} ${runId}`) ?? 'works');
    const check = () => {
      const { value, context, status } = world.actor.getSnapshot();
      expect(world.errors, `seed ${seed}`).toEqual([]);
      if (status !== 'active') return;
      // Busy is the existence of a run, or of the writing of its end; nobody waits for nothing.
      const isBusy = typeof value === 'object' || value === 'delivering';
      if (context.queue.length > 0) expect(isBusy, `seed ${seed}: ${JSON.stringify(value)}`).toBe(true);
      else expect(value, `seed ${seed}`).toBe('clearing');
      if (typeof value === 'object') expect(Object.keys(world.actor.getSnapshot().children)).toContain('run');
    };
    const later = ids.slice(1);
    while (later.length > 0 && world.actor.getSnapshot().status === 'active') {
      const chance = random.next();
      if (chance < 0.4) world.say(submitted(later.shift() as string));
      else if (chance < 0.6) world.say({ type: 'run.abort', by: 'rpc', ...(random.next() < 0.8 ? { runId: random.pick(ids) } : {}) });
      else world.clock.advance(random.between(0, 4_000));
      check();
    }
    for (let spent = 0; spent < 4 * 3_600_000 && world.actor.getSnapshot().status === 'active'; spent += 60_000) {
      world.clock.advance(60_000);
      check();
    }
    expect(world.actor.getSnapshot().status, `seed ${seed}`).toBe('done');
    const given = ids.filter((id) => !later.includes(id));
    for (const id of given) {
      const isMute = trouble.has(`delivery ${id}`);
      expect(world.endOf(id).length, `seed ${seed}: ${id}`).toBe(isMute ? 0 : 1);
    }
    expect([...world.live], `seed ${seed}`).toEqual([]);
    expect(world.clock.pending, `seed ${seed}`).toBe(0);
  }
});
