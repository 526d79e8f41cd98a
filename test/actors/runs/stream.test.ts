import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createRunStream, type RunStream } from '../../../src/actors/runs/work.ts';

const words = fc.string({ minLength: 1, maxLength: 8 });
const happening = fc.oneof(
  words.map((text) => (stream: RunStream) => stream.text(text)),
  fc.constant((stream: RunStream) => stream.nextMessage()),
  fc.constant((stream: RunStream) => stream.tool({ phase: 'start', name: 'exec', toolCallId: 'c', args: {} })),
);
const times = { startedAt: 1, endedAt: 2 };
const ending = fc.constantFrom(
  (stream: RunStream) => stream.end({ kind: 'final', text: stream.current, ...times }),
  (stream: RunStream) => stream.end({ kind: 'aborted', stopReason: 'rpc', ...times }),
  (stream: RunStream) => stream.end({ kind: 'error', message: 'broken', ...times }),
  (stream: RunStream) => stream.end({ kind: 'error', message: 'late', stopReason: 'timeout', ...times }),
);

interface Sent {
  name: string;
  payload: { seq: number; stream?: string; state?: string; data: { phase?: string; text: string; delta: string } };
}

it('A-009 A-010 numbers every event of a run, ends it once, and adds texts up, whatever happens and however it ends', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(happening, fc.nat(200)), { maxLength: 30 }),
      fc.array(fc.oneof(ending, happening), { maxLength: 5 }),
      ending,
      fc.boolean(),
      (story, late, end, showTools) => {
        const sent: Sent[] = [];
        let now = 0;
        let tools = 0;
        const stream = createRunStream({
          runId: 'run',
          sessionKey: 'main',
          showTools,
          now: () => now,
          broadcast: (name, payload) => void sent.push({ name, payload: payload as Sent['payload'] }),
        });
        const counted: RunStream = {
          ...stream,
          get current() {
            return stream.current;
          },
          tool: (data) => {
            tools += 1;
            stream.tool(data);
          },
        };
        stream.start(1);
        for (const [happen, ms] of story) {
          now += ms;
          happen(counted);
        }
        end(stream);
        for (const happen of late) happen(stream);
        const events = sent.filter(({ name }) => name === 'agent').map(({ payload }) => payload);
        const last = events.at(-1)?.seq ?? 0;
        expect(last).toBe(events.length + (showTools ? 0 : tools));
        if (showTools) expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
        expect(events.filter(({ stream: kind, data }) => kind === 'lifecycle' && data.phase !== 'start')).toHaveLength(1);
        expect(events.at(-1)?.stream).toBe('lifecycle');
        expect(sent.filter(({ name, payload }) => name === 'chat' && payload.state !== 'delta')).toHaveLength(1);
        let text = '';
        for (const { data } of events.filter(({ stream: kind }) => kind === 'assistant')) {
          // A text that begins anew is the next message.
          text = data.text === data.delta ? data.delta : text + data.delta;
          expect(data.text).toBe(text);
        }
      },
    ),
  );
});
