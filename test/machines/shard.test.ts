import { type AnyActorRef, createActor, setup } from 'xstate';
import { expect, it } from 'vitest';
import { fromIo } from '../../src/actors/io.ts';
import { shard } from '../../src/machines/shard.ts';

/** Members that own a handle each, may fail, may end, and leave when they are asked. */
function startShard() {
  const open = new Set<string>();
  const told: string[] = [];
  const handle = fromIo<{ name: string }>(({ input }) => {
    open.add(input.name);
    return () => open.delete(input.name);
  });
  const member = setup({
    types: { input: {} as { name: string; stays?: boolean }, context: {} as { name: string; stays?: boolean } },
    actors: { handle },
    guards: { leaves: ({ context }) => context.stays !== true },
    actions: {
      fail: () => {
        throw new Error('broken');
      },
      note: ({ context, event }) => void told.push(`${context.name}:${event.type}`),
    },
  }).createMachine({
    context: ({ input }) => input,
    invoke: { id: 'handle', src: 'handle', input: ({ context }) => ({ name: context.name }) },
    initial: 'up',
    on: { 'shutdown.announced': { actions: 'note' } },
    states: {
      up: { on: { end: 'over', break: { actions: 'fail' }, 'gateway.drain': { guard: 'leaves', target: 'over' } } },
      over: { type: 'final' },
    },
  });
  const parent = createActor(
    setup({ actors: { shard } }).createMachine({
      initial: 'on',
      states: { on: { invoke: { id: 'shard', src: 'shard', onDone: 'done' } }, done: {} },
    }),
  ).start();
  const actor = parent.getSnapshot().children['shard'] as AnyActorRef;
  const add = (name: string, stays = false) => actor.send({ type: 'child.add', spec: { id: name, logic: member, input: { name, stays } } });
  const memberOf = (name: string) => (actor.getSnapshot() as { children: Record<string, AnyActorRef> }).children[`${name}@1`];
  const names = () => Object.keys((actor.getSnapshot() as { children: object }).children);
  return { member, open, told, parent, actor, add, memberOf, names };
}

it('forgets a member that ended, and stops what a failed one had started', () => {
  const { open, add, memberOf, names, actor } = startShard();
  for (const name of ['a', 'b', 'c']) add(name);
  expect([...open]).toEqual(['a', 'b', 'c']);
  memberOf('a')?.send({ type: 'end' });
  memberOf('b')?.send({ type: 'break' });
  expect([...open]).toEqual(['c']);
  expect(names()).toEqual(['c@1']);
  expect((actor.getSnapshot() as { status: string }).status).toBe('active');
});

it('hands an announcement on to everybody', () => {
  const { told, add, actor } = startShard();
  for (const name of ['a', 'b']) add(name);
  actor.send({ type: 'shutdown.announced' });
  expect(told).toEqual(['a:shutdown.announced', 'b:shutdown.announced']);
});

it('lets another go on in the place of one, whether it was sent or broke', () => {
  const { member, open, add, memberOf, names, actor } = startShard();
  add('a');
  actor.send({
    type: 'child.replaced',
    actorId: 'a@1',
    spec: { id: 'b', logic: member, input: { name: 'b' }, heir: { id: 'c', logic: member, input: { name: 'c' } } },
  });
  expect([...open]).toEqual(['b']);
  expect(names()).toEqual(['b@1']);
  memberOf('b')?.send({ type: 'break' });
  expect([...open]).toEqual(['c']);
  // It has no heir.
  memberOf('c')?.send({ type: 'break' });
  expect(names()).toEqual([]);
});

it('forgets a member that has nothing left to do, also the last while it is leaving', () => {
  const { open, add, names, actor, parent } = startShard();
  add('a');
  add('b', true);
  actor.send({ type: 'socket.closed', actorId: 'a@1' });
  expect([...open]).toEqual(['b']);
  expect(names()).toEqual(['b@1']);
  actor.send({ type: 'gateway.drain' });
  actor.send({ type: 'socket.closed', actorId: 'b@1' });
  expect(open.size).toBe(0);
  expect(parent.getSnapshot().value).toBe('done');
});

it('is done when the last member has left, and takes nobody meanwhile', () => {
  const { open, add, memberOf, names, actor, parent } = startShard();
  add('a');
  add('b', true);
  actor.send({ type: 'gateway.drain' });
  add('late');
  expect(names()).toEqual(['b@1']);
  expect(parent.getSnapshot().value).toBe('on');
  memberOf('b')?.send({ type: 'end' });
  expect(parent.getSnapshot().value).toBe('done');
  expect(open.size).toBe(0);
});

it('is done at once when it has nobody', () => {
  const { actor, parent } = startShard();
  actor.send({ type: 'gateway.drain' });
  expect(parent.getSnapshot().value).toBe('done');
});

it('takes its members along when it is stopped', () => {
  const { open, add, parent } = startShard();
  for (const name of ['a', 'b']) add(name);
  parent.stop();
  expect(open.size).toBe(0);
});
