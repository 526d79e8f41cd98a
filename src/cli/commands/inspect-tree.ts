import { pause, untilInterrupted, withGateway } from '../ask.ts';
import { clientOptions, defineCommand, integerOption } from '../command.ts';
import type { Colour, Io } from '../io.ts';

interface Node {
  name: string;
  state: string;
  status: string;
  ageMs: number;
  epoch: number;
  restarts: number;
  inbox: number;
  why?: string;
  waits?: string;
  children: Node[];
}

interface Tree {
  ts: number;
  generation: number;
  root: Node;
}

export const inspectTree = defineCommand({
  path: ['inspect', 'tree'],
  summary: 'Shows every live part of the gateway: its state, why it is there, and what waits.',
  usage: 'openclaw inspect tree [--watch] [--json]',
  options: {
    watch: { type: 'boolean', help: 'Keep it up to date in place', short: 'w' },
    interval: { type: 'string', help: 'Milliseconds between two looks, default 500', value: '<ms>' },
    ...clientOptions,
  },
  interrupt: 'own',
  async run(call) {
    const { options, io } = call;
    const interval = integerOption('interval', options['interval'], { min: 100, max: 60_000 }) ?? 500;
    const stopped = untilInterrupted();
    try {
      return await withGateway(call, async ({ client }) => {
        for (;;) {
          const tree = await client.request<Tree>('inspector.tree', {}, { signal: stopped.signal });
          if (!options['watch']) {
            if (options['json']) io.json(tree);
            else io.print(draw(tree, io));
            return 0;
          }
          if (options['json']) io.print(JSON.stringify(tree));
          else io.redraw(draw(tree, io));
          await pause(interval, stopped.signal);
          stopped.signal.throwIfAborted();
        }
      });
    } catch (error) {
      // Looking is ended by Ctrl-C and has nothing to regret.
      if (stopped.signal.aborted) return options['watch'] ? 0 : 130;
      throw error;
    } finally {
      stopped.off();
    }
  },
});

const colours: readonly (readonly [RegExp, Colour])[] = [
  [/fail|error|unlinked|conflict|resting/, 'red'],
  [/waiting|backing|degraded|draining|stopping|restarting|connecting/i, 'yellow'],
  [/running|open|online|steady|active/, 'green'],
];

function draw({ root, generation }: Tree, io: Io): string {
  const rows: { tree: string; node: Node }[] = [];
  const walk = (node: Node, prefix: string, branch: string, next: string) => {
    rows.push({ tree: `${prefix}${branch}${node.name}`, node });
    node.children.forEach((child, index) => {
      const isLast = index === node.children.length - 1;
      walk(child, prefix + next, isLast ? '└─ ' : '├─ ', isLast ? '   ' : '│  ');
    });
  };
  walk(root, '', '', '');
  const width = Math.max(...rows.map(({ tree }) => tree.length)) + 2;
  const states = Math.max(...rows.map(({ node }) => node.state.length), 5) + 2;
  const head = `${'actor'.padEnd(width)}${'state'.padEnd(states)}${'age'.padStart(7)}${'epoch'.padStart(7)}${'restarts'.padStart(10)}${'waiting'.padStart(9)}  because`;
  const lines = rows.map(({ tree, node }) => {
    const colour = colours.find(([pattern]) => pattern.test(node.state))?.[1];
    const state = node.state.padEnd(states);
    const because = [node.why, node.waits && `waits for ${node.waits}`].filter(Boolean).join('; ');
    return `${tree.padEnd(width)}${colour ? io.paint(state, colour) : state}${age(node.ageMs).padStart(7)}${String(node.epoch || '').padStart(7)}${String(node.restarts || '').padStart(10)}${String(node.inbox || '').padStart(9)}  ${io.paint(because, 'dim')}`.trimEnd();
  });
  return [io.paint(head, 'bold'), ...lines, io.paint(`${rows.length} actors, generation ${generation}`, 'dim')].join('\n');
}

function age(ms: number): string {
  if (ms < 1_000) return `${ms}ms`;
  if (ms < 60_000) return `${Math.round(ms / 1_000)}s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)}m`;
  return `${Math.round(ms / 3_600_000)}h`;
}
