import { expect, it } from 'vitest';
import { createRunStream, type RunStreamEnd } from '../../../src/actors/runs/work.ts';
import { createRandom } from '../../support/kill.ts';

interface Sent {
  event: string;
  // What a client would see; a test looks into it as it needs.
  payload: any; // oxlint-disable-line typescript/no-explicit-any
  droppable: boolean;
  at: number;
}

function startStream(showTools: boolean) {
  const sent: Sent[] = [];
  const clock = { now: 1_000 };
  const stream = createRunStream({
    runId: 'r',
    sessionKey: 'Main',
    showTools,
    broadcast: (event, payload, options) => sent.push({ event, payload, droppable: options?.droppable === true, at: clock.now }),
    now: () => clock.now,
  });
  return { stream, sent, clock };
}

const ends = (endedAt: number, text: string): RunStreamEnd[] => [
  { kind: 'final', text, startedAt: 1_000, endedAt },
  { kind: 'aborted', stopReason: 'rpc', startedAt: 1_000, endedAt },
  { kind: 'error', message: 'broken', startedAt: 1_000, endedAt },
  { kind: 'error', message: 'late', startedAt: 1_000, endedAt, stopReason: 'timeout' },
];

/** Plays a random run to a random end, goes on talking after it, and gives what was sent. */
function play(seed: number) {
  const random = createRandom(seed);
  const showTools = random.next() < 0.5;
  const world = startStream(showTools);
  const { stream, clock } = world;
  const messages: string[] = [''];
  stream.start(clock.now);
  const step = () => {
    clock.now += random.between(0, 120);
    const chance = random.next();
    if (chance < 0.75) {
      const delta = random.pick(['a', 'bc ', 'ü', '🙂', '', 'long '.repeat(20)]);
      stream.text(delta);
      messages[messages.length - 1] += delta;
    } else if (chance < 0.9) {
      stream.tool({ phase: random.pick(['start', 'result']), name: 'exec' });
    } else {
      stream.nextMessage();
      messages.push('');
    }
  };
  for (let count = random.between(0, 40); count > 0; count -= 1) step();
  stream.end(random.pick(ends(clock.now, messages.at(-1) as string)));
  const { length } = world.sent;
  const said = [...messages];
  // Late words of a model, a second end: the run is over.
  for (let count = 0; count < 5; count += 1) step();
  // An abort overtakes a start that is still being written down.
  stream.start(clock.now);
  for (const end of ends(clock.now, 'too late')) stream.end(end);
  return { ...world, showTools, length, messages: said };
}

it('A-009 numbers the events of a run without a gap, hidden tool events included, and ends it exactly once', () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    const { sent, showTools, length } = play(seed);
    expect(sent.length, `seed ${seed}: nothing comes after the end`).toBe(length);
    const numbers = sent.filter(({ event }) => event === 'agent').map(({ payload }) => payload.seq as number);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    // With everything shown there is no gap at all; what is hidden takes its number.
    if (showTools) expect(numbers, `seed ${seed}`).toEqual(numbers.map((_, index) => index + 1));
    const lifecycle = sent
      .filter(({ event, payload }) => event === 'agent' && payload.stream === 'lifecycle')
      .map(({ payload }) => payload.data.phase);
    expect(lifecycle[0]).toBe('start');
    expect(
      lifecycle.filter((phase) => phase === 'end' || phase === 'error'),
      `seed ${seed}`,
    ).toHaveLength(1);
    const terminal = sent.filter(({ event, payload }) => event === 'chat' && payload.state !== 'delta');
    expect(terminal, `seed ${seed}`).toHaveLength(1);
    expect(terminal[0]?.droppable).toBe(false);
    expect(sent.at(-1)).toBe(terminal[0]);
  }
});

it('A-009 gives the same numbers whether or not tool events are shown', () => {
  const numbersWith = (showTools: boolean) => {
    const { stream, sent, clock } = startStream(showTools);
    stream.start(clock.now);
    stream.text('before');
    stream.tool({ phase: 'start' });
    stream.tool({ phase: 'result' });
    stream.nextMessage();
    clock.now += 1_000;
    stream.text('after');
    stream.end({ kind: 'final', text: 'after', startedAt: 1_000, endedAt: clock.now });
    return sent.filter(({ event }) => event === 'agent').map(({ payload }) => [payload.seq, payload.stream]);
  };
  const shown = numbersWith(true);
  expect(shown.map(([seq]) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(numbersWith(false)).toEqual(shown.filter(([, stream]) => stream !== 'tool'));
});

it('A-010 gives each message as the sum of its deltas', () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    const { sent, messages } = play(seed);
    const seen: string[] = [];
    let text = '';
    for (const { data, stream } of sent.filter(({ event }) => event === 'agent').map(({ payload }) => payload)) {
      if (stream !== 'assistant') continue;
      // A message that is said anew begins with its own first delta.
      if (data.text === data.delta && text !== '') {
        seen.push(text);
        text = '';
      }
      text += data.delta;
      expect(data.text, `seed ${seed}`).toBe(text);
    }
    seen.push(text);
    const shown = seen.filter(Boolean);
    const said = messages.filter(Boolean).slice(0, shown.length);
    if (sent.some(({ event, payload }) => event === 'chat' && payload.state === 'aborted')) {
      // What had not been shown when somebody stopped the run is not shown any more.
      expect((said.pop() ?? '').startsWith(shown.pop() ?? ''), `seed ${seed}`).toBe(true);
    }
    expect(shown, `seed ${seed}`).toEqual(said);
  }
});

it('C-107 waits 150 ms between two deltas of a chat and 40 ms between two of an agent', () => {
  const { stream, sent, clock } = startStream(false);
  stream.start(clock.now);
  for (let count = 0; count < 300; count += 1) {
    stream.text('x');
    clock.now += 7;
  }
  const gaps = (event: string) => {
    const moments = sent.filter((one) => one.event === event && one.payload.stream !== 'lifecycle').map(({ at }) => at);
    return moments.slice(1).map((at, index) => at - (moments[index] as number));
  };
  expect(Math.min(...gaps('chat'))).toBeGreaterThanOrEqual(150);
  expect(Math.min(...gaps('agent'))).toBeGreaterThanOrEqual(40);
  // The first comes at once, and each of them may be dropped for a slow reader.
  expect(sent.find(({ event }) => event === 'chat')).toMatchObject({ at: 1_000, droppable: true });
});
