/** Numbers of events at the broadcaster, for any mix of readers (protocol 1.1, 3.2; F-36). */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createBroadcaster } from '../../src/actors/hub/broadcast.ts';
import type { Connection } from '../../src/actors/hub/connection.ts';
import { type EventName, type EventRow, eventNames, events } from '../../src/protocol/events.ts';

const limit = 1_000;
const sessionOf = (payload: unknown) => String((payload as { sessionKey?: string }).sessionKey);

interface Reader {
  role: 'operator' | 'node';
  scopes: string[];
}

function startReader({ role, scopes }: Reader) {
  const got: { event: string; seq: number }[] = [];
  const state = {
    isOpen: true,
    buffered: 0,
    identity: { role, scopes: new Set(scopes) },
    socket: {
      write(frame: Buffer) {
        // A server's frame has no mask: two bytes of head, or four, then the text.
        const text = frame.subarray((frame[1] as number) === 126 ? 4 : 2).toString();
        got.push(JSON.parse(text) as { event: string; seq: number });
      },
    },
  };
  return { got, state, connection: state as unknown as Connection };
}

const mayHear = ({ role, scopes }: Reader, event: EventName) => {
  const { scope } = events[event] as EventRow;
  return scope === undefined || (role === 'operator' && (scopes.includes(scope) || scopes.includes('operator.admin')));
};

const reader: fc.Arbitrary<Reader> = fc.record({
  role: fc.constantFrom('operator', 'node'),
  scopes: fc.subarray(['operator.admin', 'operator.read', 'operator.pairing', 'operator.approvals']),
});
const step = fc.oneof(
  fc.record({ who: fc.nat(3), buffered: fc.constantFrom(0, limit, limit + 1) }),
  fc.record({ send: fc.constantFrom(...eventNames), droppable: fc.option(fc.boolean(), { nil: undefined }) }),
);

it('F-36 each reader gets rising numbers, each event it may hear unless it is slow, and a close for what it must not miss', () => {
  fc.assert(
    fc.property(fc.array(reader, { minLength: 4, maxLength: 4 }), fc.array(step, { maxLength: 60 }), (kinds, steps) => {
      const readers = kinds.map(startReader);
      const slow: Connection[] = [];
      const broadcaster = createBroadcaster({
        connections: readers.map(({ connection }) => connection),
        maxBufferedBytes: limit,
        sessionOf,
        onSlow(connection) {
          slow.push(connection);
          (connection as unknown as { isOpen: boolean }).isOpen = false;
        },
      });
      const expected: { event: string; seq: number }[][] = kinds.map(() => []);
      const skipped: Set<number>[] = kinds.map(() => new Set());
      const closed = new Set<number>();
      let seq = 0;
      for (const move of steps) {
        if ('who' in move) {
          (readers[move.who] as (typeof readers)[number]).state.buffered = move.buffered;
          continue;
        }
        seq += 1;
        broadcaster.send(move.send, {}, move.droppable === undefined ? {} : { droppable: move.droppable });
        const mayDrop = move.droppable ?? events[move.send].droppable;
        for (const [index, kind] of kinds.entries()) {
          if (closed.has(index) || !mayHear(kind, move.send)) continue;
          if ((readers[index]?.state.buffered ?? 0) <= limit) expected[index]?.push({ event: move.send, seq });
          else if (mayDrop) skipped[index]?.add(seq);
          else closed.add(index);
        }
      }
      expect(broadcaster.seq).toBe(seq);
      for (const [index, { got, connection }] of readers.entries()) {
        expect(got.map(({ event, seq: number }) => ({ event, seq: number }))).toEqual(expected[index]);
        for (const [at, { seq: number }] of got.entries()) expect(number).toBeGreaterThan(got[at - 1]?.seq ?? 0);
        // A skipped event always shows as a gap.
        for (const number of skipped[index] ?? []) expect(got.some((frame) => frame.seq === number)).toBe(false);
        expect(slow.filter((one) => one === connection)).toHaveLength(closed.has(index) ? 1 : 0);
        // Who may see everything and keeps up sees every number.
        const seesAll = kinds[index]?.role === 'operator' && kinds[index]?.scopes.includes('operator.admin');
        if (seesAll && skipped[index]?.size === 0 && !closed.has(index)) expect(got).toHaveLength(seq);
      }
    }),
    { numRuns: 300 },
  );
});

it.each(['presence', 'tick', 'heartbeat', 'cron', 'node.pair.requested'] as const)(
  'C-062 %s, like a delta of chat, is skipped for a full buffer, and the next event shows the gap',
  (name) => {
    const { got, state, connection } = startReader({ role: 'operator', scopes: ['operator.admin'] });
    const broadcaster = createBroadcaster({
      connections: [connection],
      maxBufferedBytes: limit,
      sessionOf,
      onSlow: () => expect.unreachable(),
    });
    broadcaster.send(name, {});
    state.buffered = limit + 1;
    broadcaster.send(name, {});
    broadcaster.send('chat', { state: 'delta' }, { droppable: true });
    state.buffered = limit;
    broadcaster.send(name, {});
    expect(got.map(({ seq }) => seq)).toEqual([1, 4]);
  },
);

it.each(['agent', 'chat', 'health', 'shutdown'] as const)('C-063 %s closes a reader with a full buffer, and the others get it', (name) => {
  const victim = startReader({ role: 'operator', scopes: ['operator.admin'] });
  const other = startReader({ role: 'operator', scopes: ['operator.admin'] });
  const closed: Connection[] = [];
  const broadcaster = createBroadcaster({
    connections: [victim.connection, other.connection],
    maxBufferedBytes: limit,
    sessionOf,
    onSlow: (connection) => closed.push(connection),
  });
  victim.state.buffered = limit + 1;
  broadcaster.send(name, { state: 'final' });
  expect(closed).toEqual([victim.connection]);
  expect(victim.got).toEqual([]);
  expect(other.got).toHaveLength(1);
});
