/**
 * A whole gateway in a process of its own, whose actors can be broken from outside: the parent process sends the path of an
 * actor and how it is to break. Needs `OPENCLAW_TEST=1` and armed fail points.
 */
import { breakable, breakAtStart, type Breakage } from '../../src/actors/fail-points.ts';
import { startGateway } from '../../src/actors/gateway.ts';
import { runCli } from '../../src/cli/main.ts';

export type Order =
  | { type: 'list'; id: number }
  | { type: 'break'; id: number; path: string; how: Breakage }
  | { type: 'sentence'; id: number; name: string; how: Breakage }
  | { type: 'stray'; id: number };

// A test that was cut off leaves nobody to end this one.
process.on('disconnect', () => process.exit(1));
process.on('message', (order: Order) => {
  if (order.type === 'break') breakable?.get(order.path)?.(order.how);
  if (order.type === 'sentence') breakAtStart?.set(order.name, order.how);
  if (order.type === 'stray') setTimeout(() => void Promise.reject(new Error('nobody owns this')), 0);
  process.send?.({ id: order.id, paths: [...(breakable?.keys() ?? [])] });
});

const code = await runCli(process.argv.slice(2), {
  noteFatal: async () => {},
  startGateway: (options) =>
    startGateway(options, {
      listen: (handler) => {
        for (const name of ['SIGTERM', 'SIGINT', 'SIGUSR1'] as const) process.on(name, () => handler(name));
      },
    }),
});
process.exit(code);
