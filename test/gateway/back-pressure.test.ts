/** Clients that read too slowly miss what may be missed, and cost nobody else anything (protocol 1.1, 9.3; F-36). */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Gateway, startGateway, temporaryHome, token } from '../support/gateway.ts';
import type { Frame, RawClient } from '../support/raw-client.ts';

let gateway: Gateway;
/** Reads everything at once. */
let witness: RawClient;
beforeAll(async () => {
  const home = temporaryHome();
  const script = join(home, 'script.json');
  await writeFile(script, JSON.stringify({ '*': [{ text: 'done' }] }));
  gateway = await startGateway({
    home,
    config: {
      gateway: { mode: 'local', auth: { mode: 'token', token }, maxBufferedBytes: 1_572_864 },
      agents: { defaults: { model: `openclaw/script:${script}` } },
      commands: { restart: true },
    },
  });
  witness = await gateway.connect({ client: { id: 'cli', mode: 'cli' } });
  for (let n = 0; n < notes; n += 1) await note(n);
});
afterAll(() => gateway.close());

/** So many notes make every presence event this many times 4 KB large. */
const notes = 100;
let counter = 0;
function note(n = counter % notes): Promise<unknown> {
  counter += 1;
  return witness.call('system-event', { text: `${counter} ${'x'.repeat(4_000)}`, instanceId: `note-${n}` });
}

const seqsOf = (client: RawClient) => client.frames.flatMap(({ seq }: Frame) => (seq === undefined ? [] : [seq]));
const rises = (seqs: number[]) => seqs.every((seq, index) => index === 0 || seq > (seqs[index - 1] as number));
const gapsOf = (seqs: number[]) => seqs.filter((seq, index) => index > 0 && seq !== (seqs[index - 1] as number) + 1).length;

/** More events than the buffers of both kernels and the limit can hold of a client that does not read. */
async function overfill(events = 50) {
  const wanted = witness.events('presence').length + events;
  // Under this load the gateway may merge changes, so it is the events that are counted.
  while (witness.events('presence').length < wanted) await note();
}

/** Lets a client read again, until it has got a presence event that was made after this call. */
async function catchUp(client: RawClient): Promise<Frame> {
  client.ws.resume();
  await client.request('health');
  await note();
  const mark = String(counter);
  return client.event('presence', ({ presence }) => presence.some(({ text }: { text?: string }) => text?.startsWith(`${mark} `)));
}

it('C-062 a presence event is skipped for a full buffer, and the next one shows the gap', async () => {
  const victim = await gateway.connect();
  await victim.event('presence');
  victim.ws.pause();
  await overfill();
  const later = await catchUp(victim);
  const seqs = seqsOf(victim);
  expect(rises(seqs)).toBe(true);
  expect(gapsOf(seqs)).toBeGreaterThan(0);
  expect(later.seq).toBeGreaterThan((seqs[0] as number) + seqs.length);
  // It was not closed for it, and what it asks for now is the present.
  const clean = (list: { reason?: string; ts: number }[]) => list.map((entry) => (entry.reason === 'self' ? { ...entry, ts: 0 } : entry));
  expect(clean(await victim.call('system-presence'))).toEqual(clean(await witness.call('system-presence')));
  expect(gapsOf(seqsOf(witness))).toBe(0);
  victim.close();
});

it('C-063 an agent event closes a client with a full buffer as a slow consumer, and nobody else', async () => {
  const victim = await gateway.connect();
  const other = await gateway.connect();
  await victim.event('presence');
  victim.ws.pause();
  await overfill();
  witness.send({ type: 'req', id: 'run', method: 'agent', params: { message: 'go', idempotencyKey: 'slow-consumer' } });
  const [, final] = await witness.stages('run');
  expect(final.payload.status).toBe('ok');
  victim.ws.resume();
  expect(await victim.closed).toEqual({ code: 1008, reason: 'slow consumer' });
  expect(victim.events('agent')).toEqual([]);
  for (const reader of [witness, other]) {
    await reader.event('agent', ({ data }) => data.phase === 'end');
    expect(reader.events('agent').map(({ payload }) => payload.seq)).toEqual(reader.events('agent').map((_, index) => index + 1));
    expect(gapsOf(seqsOf(reader))).toBe(0);
    expect((await reader.call('health')).ok).toBe(true);
  }
  other.close();
});

it('a client that never reads again after falling behind is let go', async () => {
  const victim = await gateway.connect({ client: { instanceId: 'stuck' } });
  await victim.event('presence');
  victim.ws.pause();
  await overfill();
  await witness.call('health', { probe: true });
  // It does nothing any more: that it leaves the list is the gateway's doing.
  await witness.event(
    'presence',
    ({ presence }) => presence.some((entry: Record<string, string>) => entry['instanceId'] === 'stuck' && entry['reason'] === 'disconnect'),
    15_000,
  );
  victim.ws.terminate();
});

type Step = { who: number; does: 'pause' | 'resume' | 'drop' | 'return' } | { notes: number };

it('F-36 clients that pause, drop and return at random see rising numbers, a gap for whatever was skipped, and the present on asking', async () => {
  const step = fc.oneof(
    fc.record({ who: fc.nat(2), does: fc.constantFrom<'pause' | 'resume' | 'drop' | 'return'>('pause', 'resume', 'drop', 'return') }),
    fc.record({ notes: fc.integer({ min: 1, max: 40 }) }),
  ) as fc.Arbitrary<Step>;
  let gaps = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 12 }), async (steps) => {
      const lives: { client: RawClient; hasPaused: boolean; open: boolean }[] = [];
      const current: (typeof lives)[number][] = [];
      const join = async (who: number) => {
        const life = { client: await gateway.connect({ client: { id: 'cli', mode: 'cli' } }), hasPaused: false, open: true };
        lives.push(life);
        current[who] = life;
      };
      for (const who of [0, 1, 2]) await join(who);
      const from = witness.frames.length;
      for (const move of steps) {
        if ('notes' in move) {
          await overfill(move.notes);
          continue;
        }
        const life = current[move.who] as (typeof lives)[number];
        if (move.does === 'pause' && life.open) {
          life.client.ws.pause();
          life.hasPaused = true;
        } else if (move.does === 'resume' && life.open) life.client.ws.resume();
        else if (move.does === 'drop' && life.open) {
          life.open = false;
          life.client.ws.terminate();
        } else if (move.does === 'return' && !life.open) await join(move.who);
      }
      for (const life of lives) {
        if (!life.open) continue;
        await catchUp(life.client).catch(async (error: unknown) => {
          // What may not be skipped (the health of the gateway) ends a client that is too far behind; it may say so, and no other may.
          if (!life.hasPaused || life.client.ws.readyState !== life.client.ws.CLOSED) throw error;
          expect(await life.client.closed).toEqual({ code: 1008, reason: 'slow consumer' });
          life.open = false;
        });
      }
      await witness.call('health');
      const all = witness.frames.slice(from).flatMap(({ seq }) => (seq === undefined ? [] : [seq]));
      expect(gapsOf(all)).toBe(0);
      for (const { client, hasPaused, open } of lives) {
        const seqs = seqsOf(client);
        expect(rises(seqs)).toBe(true);
        // What is missing between the first and the last number is exactly what was skipped: everything else was delivered as sent.
        for (const frame of client.frames) {
          if (frame.seq === undefined) continue;
          const sent = witness.frames.find(({ seq }) => seq === frame.seq);
          if (sent) expect(frame.stateVersion).toEqual(sent.stateVersion);
        }
        if (!hasPaused) expect(gapsOf(seqs)).toBe(0);
        gaps += gapsOf(seqs);
        if (!open) continue;
        const texts = (list: { text?: string }[]) => list.map(({ text }) => text).sort();
        expect(texts(await client.call('system-presence'))).toEqual(texts(await witness.call('system-presence')));
        client.close();
      }
    }),
    { numRuns: 6, seed: 36 },
  );
  // The stories were hard enough to skip something.
  expect(gaps).toBeGreaterThan(0);
}, 60_000);
