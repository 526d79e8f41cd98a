import { setImmediate as turn } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import type { ModelPart } from '../../../src/actors/runs/models/contract.ts';
import type { StorePort } from '../../../src/actors/store/contract.ts';
import { StoreError } from '../../../src/actors/store/contract.ts';
import { type DeskOptions, startDesk, wordsOf } from '../../support/start-desk.ts';
import { eventually } from '../../support/telegram-gateway.ts';

async function start(options: DeskOptions = {}) {
  const desk = await startDesk(options);
  onTestFinished(() => desk.close());
  return desk;
}

const forever = () => new Promise<never>(() => {});

/** Answers everything by itself, and never answers `hang`. */
async function* hangs(input: Parameters<typeof wordsOf>[0]): AsyncIterable<ModelPart> {
  if (wordsOf(input) === 'hang') await forever();
  yield { type: 'text', delta: `you said: ${wordsOf(input)}` };
}

const terminal = (desk: Awaited<ReturnType<typeof start>>, runId: string) =>
  desk.events
    .filter(({ event, payload }) => event === 'chat' && payload.runId === runId && payload.state !== 'delta')
    .map(({ payload }) => payload);

it('A-017 abandons a tool that ignores its signal, and the conversation is free', async () => {
  let release: () => void = () => {};
  const done = new Promise<void>((resolve) => {
    release = resolve;
  });
  const stubborn = {
    name: 'stubborn',
    description: '',
    parameters: { type: 'object' },
    readOnly: true,
    async execute() {
      await done;
      return { text: 'too late', isError: false };
    },
  };
  const desk = await start({
    tools: [stubborn],
    async *step(input) {
      if (wordsOf(input) === 'use it') yield { type: 'toolCall', id: 'c1', name: 'stubborn', arguments: {} };
      else yield { type: 'text', delta: 'fine' };
    },
  });
  const first = await desk.runs.submit(desk.input('use it'));
  first.begin();
  await eventually(() => desk.events.some(({ payload }) => payload.stream === 'tool'), 'the tool runs');
  const second = await desk.runs.submit(desk.input('hello'));
  second.begin();
  await desk.runs.abort('agent:main:main', first.runId, 'rpc');
  expect((await first.ended).payload.result).toMatchObject({ meta: { aborted: true, stopReason: 'rpc' } });
  // The next one is answered while the tool still runs.
  expect((await second.ended).payload.result).toMatchObject({ payloads: [{ text: 'fine' }] });
  const count = desk.events.length;
  release();
  await turn();
  expect(desk.events).toHaveLength(count);
  const { rows } = await desk.store.call('history.read', { sessionKey: 'agent:main:main', limit: 10 });
  expect(rows.filter(({ runId, role }) => runId === first.runId && role === 'toolResult')).toEqual([]);
});

it('F-20 a run aborted between its acceptance and its beginning never begins', async () => {
  const desk = await start();
  const run = await desk.runs.submit(desk.input('hello'));
  expect(await desk.runs.abort('agent:main:main', undefined, 'rpc')).toEqual([run.runId]);
  run.begin();
  expect((await run.ended).payload).toMatchObject({ status: 'ok', summary: 'aborted' });
  expect(terminal(desk, run.runId)).toEqual([expect.objectContaining({ state: 'aborted', stopReason: 'rpc' })]);
  expect((await desk.store.call('runs.get', { runId: run.runId })).run).toMatchObject({ state: 'aborted', starts: 0 });
});

it('F-20 an abort that comes while a run is on its way to the disk finds it', async () => {
  const desk = await start();
  const input = desk.input('hello');
  const submitted = desk.runs.submit(input);
  expect(desk.runs.sessionKeyOf(input.runId)).toBe('agent:main:main');
  const aborted = desk.runs.abort('agent:main:main', input.runId, 'stop');
  expect(await aborted).toEqual([input.runId]);
  (await submitted).begin();
  expect((await (await submitted).ended).payload.summary).toBe('aborted');
});

it('C-101 waits for a run that is on its way to the disk', async () => {
  const desk = await start();
  const input = desk.input('hello');
  const submitted = desk.runs.submit(input);
  const waited = desk.runs.wait(input.runId, 10_000);
  (await submitted).begin();
  expect(await waited).toMatchObject({ runId: input.runId, status: 'ok' });
});

it('F-20 a run that is aborted while everything is parked does not begin after the restart', async () => {
  const desk = await start();
  desk.system.get('conversations').send({ type: 'runs.park' });
  const run = await desk.runs.submit(desk.input('hello'));
  run.begin();
  expect(await desk.runs.abort('agent:main:main', run.runId, 'rpc')).toEqual([run.runId]);
  await run.ended;
  // What the next start would find.
  expect((await desk.store.call('runs.open', {})).runs).toEqual([]);
});

it('F-20 does not claim to have aborted a run whose end is being written down', async () => {
  let write: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    write = resolve;
  });
  const slow = (store: StorePort): StorePort => ({
    get pending() {
      return store.pending;
    },
    async call(verb, params, fence) {
      if (verb === 'runs.finish') await held;
      return store.call(verb, params, fence);
    },
  });
  const desk = await start({ store: slow });
  const run = await desk.runs.submit(desk.input('hello'));
  run.begin();
  await eventually(() => desk.conversation('agent:main:main')?.getSnapshot().value === 'delivering', 'the end is written');
  expect(await desk.runs.abort('agent:main:main', undefined, 'rpc')).toEqual([]);
  write();
  expect((await run.ended).payload.summary).toBe('completed');
  expect(terminal(desk, run.runId).map(({ state }) => state)).toEqual(['final']);
});

it('F-06 a run whose end cannot be written down ends all the same, and is looked at again when it is asked for', async () => {
  let isBroken = true;
  const broken = (store: StorePort): StorePort => ({
    get pending() {
      return store.pending;
    },
    call(verb, params, fence) {
      if (verb === 'runs.finish' && isBroken) return Promise.reject(new StoreError('conflict', 'the page is torn'));
      return store.call(verb, params, fence);
    },
  });
  const desk = await start({ store: broken });
  const [first, second] = [desk.input('one'), desk.input('two')];
  const runs = [await desk.runs.submit(first), await desk.runs.submit(second)];
  for (const run of runs) run.begin();
  for (const run of runs) expect(await run.ended).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE' } });
  expect(desk.runs.active).toBe(0);
  expect(desk.runs.isActive(first.runId)).toBe(false);
  expect(terminal(desk, first.runId).map(({ state }) => state)).toEqual(['error']);
  isBroken = false;
  const again = await desk.runs.submit(first);
  expect(again.created).toBe(false);
  again.begin();
  expect((await again.ended).payload).toMatchObject({ status: 'ok' });
});

it('a conversation that crashes leaves no run live for ever: the one in progress is given up, those behind it run', async () => {
  const desk = await start({ step: hangs });
  const first = await desk.runs.submit(desk.input('hang'));
  const second = await desk.runs.submit(desk.input('hello'));
  for (const run of [first, second]) run.begin();
  await eventually(() => desk.runs.active === 1, 'the first is going on');
  // An event that no code of ours sends: its action breaks, and with it the actor.
  desk.conversation('agent:main:main').send({
    type: 'run.abort',
    get by(): never {
      throw new Error('broken on purpose');
    },
  });
  expect(await first.ended).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE' } });
  expect((await second.ended).payload).toMatchObject({ status: 'ok' });
  expect(desk.runs.active).toBe(0);
});

it('whoever waits for a run still gets its end when the desk crashes meanwhile', async () => {
  let calls = 0;
  const desk = await start({
    async *step(input) {
      calls += 1;
      if (wordsOf(input) === 'wait' && calls === 1) await forever();
      yield { type: 'text', delta: 'answered' };
    },
  });
  const run = await desk.runs.submit(desk.input('wait'));
  run.begin();
  await eventually(() => calls === 1, 'it is going on');
  const next = desk.offered();
  desk.system.get('conversations').send({ type: 'io.crashed', error: new Error('broken on purpose') });
  await next;
  expect((await run.ended).payload).toMatchObject({ status: 'ok', result: { payloads: [{ text: 'answered' }] } });
});

it('forgets a lane that nobody uses, and takes any name for one', async () => {
  const desk = await start();
  for (const lane of ['constructor', '__proto__', 'toString', 'mine']) {
    const run = await desk.runs.submit(desk.input('hello', { lane }));
    run.begin();
    expect((await run.ended).payload).toMatchObject({ status: 'ok' });
  }
  expect(desk.runs.waiting).toBe(0);
});

it('counts a conversation once, also when it comes back after many others', async () => {
  const desk = await start();
  const say = async (sessionKey: string) => {
    const run = await desk.runs.submit(desk.input('hello', { sessionKey }));
    run.begin();
    await run.ended;
  };
  for (let index = 0; index < 60; index += 1) await say(`agent:main:s${index}`);
  for (let index = 0; index < 5; index += 1) await say(`agent:main:s${index}`);
  const { count, rows } = desk.runs.recent();
  expect([count, rows.length]).toEqual([60, 50]);
  expect(rows.slice(0, 5).map(({ sessionKey }) => sessionKey)).toEqual([4, 3, 2, 1, 0].map((index) => `agent:main:s${index}`));
});

it('a timeout of a year is a day, and not the millisecond that a timer would make of it', async () => {
  const desk = await start();
  const run = await desk.runs.submit(desk.input('hello', { request: { message: 'hello', timeoutMs: 365 * 24 * 3_600_000 } }));
  run.begin();
  expect((await run.ended).payload).toMatchObject({ status: 'ok' });
});

it('runs what comes in the very moment its conversation ends', async () => {
  const desk = await start();
  for (let count = 0; count < 200; count += 1) {
    const first = await desk.runs.submit(desk.input('one'));
    const second = await desk.runs.submit(desk.input('two'));
    first.begin();
    await first.ended;
    for (let turns = count % 4; turns > 0; turns -= 1) await Promise.resolve();
    second.begin();
    expect((await second.ended).payload.status).toBe('ok');
  }
});
