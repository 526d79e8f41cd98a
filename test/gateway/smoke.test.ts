import { expect, it } from 'vitest';
import { startGateway } from '../support/gateway.ts';

it('says hello', async () => {
  const gateway = await startGateway();
  const client = await gateway.connect();
  expect((await client.call('health')).ok).toBe(true);
  expect(await gateway.stop()).toEqual({ code: 0, signal: null });
  await gateway.close();
});
