/** The heartbeat of the protocol. It takes a real half minute, so it has a file of its own that runs beside others. */
import { expect, it, onTestFinished } from 'vitest';
import { startGateway } from '../support/gateway.ts';

it('C-061 thirty seconds after the start, and so on, each operator and node gets a tick with an integer time', {
  timeout: 60_000,
}, async () => {
  const from = Date.now();
  const gateway = await startGateway();
  onTestFinished(() => gateway.close());
  const ready = Date.now();
  const operator = await gateway.connect();
  const reader = await gateway.connect({ scopes: ['operator.read'] });
  const node = await gateway.connect({ role: 'node', client: { mode: 'node' } });
  // A ping comes with it.
  const pinged = new Promise<void>((resolve) => node.ws.once('ping', () => resolve()));
  for (const client of [operator, reader, node]) {
    const tick = await client.event('tick', undefined, 40_000);
    expect(tick.payload).toEqual({ ts: expect.any(Number) });
    expect(tick.payload.ts).toSatisfy(Number.isInteger);
    expect(tick.seq).toBeGreaterThan(0);
    // The timer began somewhere between the two moments.
    expect(tick.payload.ts).toBeGreaterThan(from + 29_000);
    expect(tick.payload.ts).toBeLessThan(ready + 31_000);
  }
  await pinged;
});
