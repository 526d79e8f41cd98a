import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
  // Registers a hook that tells the address of every module that is loaded.
  writeFileSync(
    join(gateway.home, 'modules.mjs'),
    `import { registerHooks } from 'node:module';
registerHooks({ load(url, context, next) { process._rawDebug('MODULE ' + url); return next(url, context); } });`,
  );
});
afterAll(() => gateway.close());

async function loadedBy(args: string[]): Promise<string[]> {
  const { code, stderr } = await gateway.cli(args, { env: { NODE_OPTIONS: `--import ${join(gateway.home, 'modules.mjs')}` } });
  expect(code).toBe(0);
  return stderr.split('\n').flatMap((line) => /^MODULE (?:file:)?(.*)/.exec(line)?.[1] ?? []);
}

it.each<[args: string[], limit: number]>([
  [['status'], 60],
  [['health'], 60],
  [['gateway', 'call', 'health'], 60],
  [['agent', '--agent', 'main', '--message', 'time'], 60],
  [['--help'], 16],
  [['health', '--help'], 40],
  [['--version'], 16],
])('F-40 %j loads the client and nothing else', async (args, limit) => {
  const modules = (await loadedBy(args)).filter((url) => !url.startsWith('node:'));
  expect(modules.some((url) => url.endsWith('src/cli/main.ts'))).toBe(true);
  const own = modules.filter((url) => !url.includes('node_modules'));
  expect(own.filter((url) => /src\/(actors|machines)\//.test(url))).toEqual([]);
  // Of the protocol only what a client speaks: no definitions, no methods, no validation.
  expect(own.filter((url) => /src\/protocol\/(methods|schema|validate|compile|config\/(parse|keys))/.test(url))).toEqual([]);
  const packages = new Set(modules.flatMap((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []));
  expect([...packages].filter((name) => name !== 'ws')).toEqual([]);
  expect(modules.length).toBeLessThanOrEqual(limit);
});
