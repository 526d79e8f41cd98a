/** What every command has in common: one document, no colours, no secrets, nothing left running. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands/index.ts';
import { type CliResult, cleanEnv, type Gateway, runCli, startGateway, temporaryHome } from '../support/gateway.ts';
import { freePort, processes } from '../support/processes.ts';

/** Recognisable wherever it turns up, whole or in part. */
const canary = 'canary-5f0c9e2d7ab14c3388f1';
let gateway: Gateway;
let deadPort: string;

beforeAll(async () => {
  gateway = await startGateway({
    config: {
      gateway: { mode: 'local', auth: { mode: 'token', token: canary } },
      logging: { level: 'trace' },
      commands: { restart: true },
    },
    args: ['--verbose'],
    env: { OPENCLAW_GATEWAY_TOKEN: canary, OPENCLAW_GATEWAY_PASSWORD: `${canary}-password` },
  });
  deadPort = String(await freePort());
});
afterAll(() => gateway.close());

/** Each command as a person would type it, and in ways that fail. */
const calls: Record<string, string[][]> = {
  setup: [[], ['--workspace', 'elsewhere']],
  gateway: [
    ['--port', '70000'],
    ['--port', '0'],
    ['--bind', 'everywhere'],
    ['nonsense'],
    ['--bind', 'custom'],
    ['--auth', 'password', '--port', '0'],
  ],
  'gateway run': [['--port', '70000']],
  'gateway call': [
    ['health'],
    ['status'],
    ['config.get'],
    ['inspector.tree'],
    ['inspector.history'],
    ['nope'],
    ['connect'],
    [],
    ['health', '--params', '[]'],
    ['logs.tail'],
  ],
  'gateway health': [[], ['--verbose']],
  status: [[], ['--deep']],
  health: [[], ['--verbose'], ['--bogus'], ['--timeout', '0']],
  agent: [
    ['--agent', 'main', '--message', 'status'],
    ['--message', 'x'],
    ['--agent', 'main', '--message', 'x', '--local'],
    ['--agent', 'main', '--message', 'x', '--no-wait'],
  ],
  'message send': [['--target', '1', '--message', 'x'], ['--target', '1', '--message', 'x', '--dry-run'], []],
  logs: [[], ['--limit', '0'], ['--plain']],
  'inspect tree': [[]],
};

/** One of these wrong, each once, so that messages about secrets are seen, too. */
const credentials: string[][] = [[], ['--token', canary], ['--token', `wrong-${canary}`], ['--password', `wrong-${canary}`]];

const takesJson = (name: string) => name !== 'gateway' && name !== 'gateway run';
const takesCredentials = (name: string) => name !== 'setup';

/** Commands run a few at a time: there are many of them, and each is a process. */
async function all<T>(jobs: (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  const next = async (): Promise<void> => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) results.push(await job());
  };
  await Promise.all(Array.from({ length: 4 }, next));
  return results;
}

/** Whatever was run in this file, for the look at all of it. */
const everything: (CliResult & { words: string[] })[] = [];

async function run(words: string[], env: Record<string, string> = {}) {
  const result = { words, ...(await gateway.cli(words, { env: { OPENCLAW_GATEWAY_TOKEN: canary, ...env } })) };
  everything.push(result);
  return result;
}

it('the table above knows every command', () => {
  expect(Object.keys(calls).sort()).toEqual(commands.map(({ path }) => path.join(' ')).sort());
});

it('K-061 K-062 every command with --json prints exactly one document without colours, and leaves no process behind', {
  timeout: 60_000,
}, async () => {
  const mark = `openclaw-mark-${process.pid}`;
  const jobs = Object.entries(calls)
    .filter(([name]) => takesJson(name))
    .flatMap(([name, ways]) =>
      ways.flatMap((way) => [
        () => run([...name.split(' '), ...way, '--json'], { FORCE_COLOR: '', MARK: mark }),
        () => run([...name.split(' '), ...way, '--json'], { OPENCLAW_GATEWAY_PORT: deadPort, MARK: mark }),
      ]),
    );
  for (const { words, stdout, stderr, code } of await all(jobs)) {
    const name = words.join(' ');
    expect(code, name).not.toBeNull();
    expect(`${stdout}${stderr}`, name).not.toContain('\u001b[');
    if (name.startsWith('logs')) {
      for (const line of stdout.trim().split('\n').filter(Boolean)) expect(() => JSON.parse(line) as unknown, name).not.toThrow();
      continue;
    }
    // Parses as a whole, begins and ends as one value, indented by two.
    const document = JSON.parse(stdout) as Record<string, unknown>;
    expect(stdout, name).toBe(`${JSON.stringify(document, null, 2)}\n`);
    if (code !== 0 && document['ok'] === false && document['phase'] === undefined)
      expect(document, name).toMatchObject({ error: { code: expect.any(String), message: expect.any(String) } });
  }
  expect(marked(mark)).toEqual([]);
});

it('K-062 nor does a command without --json, with the gateway up and down', async () => {
  const mark = `openclaw-mark-human-${process.pid}`;
  const jobs = Object.entries(calls)
    .filter(([name]) => takesJson(name))
    .flatMap(([name, [way = []]]) => [
      () => run([...name.split(' '), ...way], { MARK: mark }),
      () => run([...name.split(' '), ...way], { OPENCLAW_GATEWAY_PORT: deadPort, MARK: mark }),
    ]);
  await all(jobs);
  expect(marked(mark)).toEqual([]);
});

/** Processes that inherited the mark of a command in their environment. */
function marked(mark: string): string[] {
  return processes()
    .filter(({ pid }) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark);
      } catch {
        return false;
      }
    })
    .map(({ command }) => command);
}

it('K-022 no output of any command, no log line and no process list contains the token', { timeout: 60_000 }, async () => {
  // What the tests before did not do: the commands without JSON, and each with every sort of credential.
  const jobs = Object.entries(calls).flatMap(([name, ways]) => [
    ...ways.slice(1).map((way) => () => run([...name.split(' '), ...way])),
    ...(takesCredentials(name) ? credentials : [[]]).map(
      (secret) => () => run([...name.split(' '), ...(ways[0] ?? []), ...secret, ...(takesJson(name) ? [] : ['--verbose'])]),
    ),
  ]);
  await all(jobs);
  expect(new Set(everything.map(({ words }) => words.join(' '))).size).toBeGreaterThan(60);
  for (const result of everything) expect(leaks(result), result.words.join(' ')).toEqual([]);
  // The gateway saw every one of these at its most talkative.
  expect(gateway.stdout()).toContain('handshake granted');
  expect(gateway.stdout()).toContain('handshake refused');
  expect(gateway.stdout() + gateway.stderr() + JSON.stringify(gateway.log())).not.toContain(canary);
  expect(readFileSync(`/proc/${gateway.pid}/cmdline`, 'utf8')).not.toContain(canary);
  expect(processes().filter(({ command }) => command.includes(canary))).toEqual([]);
});

const leaks = ({ stdout, stderr }: CliResult) => `${stdout}${stderr}`.split('\n').filter((line) => line.includes(canary));

describe('help', () => {
  it.each(commands.map(({ path }) => path.join(' ')))('%s --help explains itself on stdout and exits 0', async (name) => {
    const { code, stdout, stderr } = await runCli([...name.split(' '), '--help'], { home: gateway.home });
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect(stdout).toContain(`Usage  openclaw ${name}`);
    expect(stdout).toContain('--help');
    for (const line of stdout.split('\n')) expect(line).toBe(line.trimEnd());
  });

  it('no command at all: the list of them', async () => {
    const { code, stdout } = await runCli([], { home: gateway.home });
    expect(code).toBe(0);
    for (const { path } of commands) expect(stdout).toContain(path.join(' '));
  });

  it.each([['--version'], ['-V'], ['-v']])('%s prints the version alone', async (flag) => {
    const { code, stdout } = await runCli([flag], { home: gateway.home });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    ['gatway', /did you mean openclaw gateway\?/],
    ['message', /openclaw message send/],
    ['--nonsense', /unknown flag '--nonsense'/],
  ])('%s exits 2 and says what could have been meant', async (word, text) => {
    const { code, stderr } = await runCli([word], { home: gateway.home });
    expect(code).toBe(2);
    expect(stderr).toMatch(text);
  });
});

describe('colours', () => {
  const shown = async (env: Record<string, string>, ...more: string[]) => (await run(['health', ...more], env)).stdout;

  it('only where they were asked for', async () => {
    expect(await shown({})).not.toContain('\u001b[');
    expect(await shown({ FORCE_COLOR: '1' })).toContain('\u001b[32mok');
    expect(await shown({ FORCE_COLOR: '0' })).not.toContain('\u001b[');
  });
});

describe('profiles', () => {
  let home: string;
  beforeAll(() => {
    home = temporaryHome();
    cleanEnv(home);
  });
  afterAll(() => rmSync(home, { recursive: true, force: true }));
  const cli = (args: string[], env: Record<string, string> = {}) => runCli(args, { home, env });

  it.each([
    [['--dev', '--profile', 'x', 'status']],
    [['--profile']],
    [['--profile', 'bad name', 'status']],
    [['--profile', 'gateway', 'status']],
  ])('K-027 %j exits 2', async (args) => {
    const { code, stdout, stderr } = await cli(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: /);
  });

  it('K-028 default in any case is no profile', async () => {
    for (const name of ['default', 'DEFAULT']) {
      const { stdout } = await cli(['--profile', name, 'status', '--json']);
      expect((JSON.parse(stdout) as { gateway: { stateDir: string } }).gateway.stateDir).toBe(`${home}/.openclaw`);
    }
  });

  it('K-029 an exported OPENCLAW_STATE_DIR wins over the profile', async () => {
    const { stdout } = await cli(['--profile', 'rescue', 'status', '--json'], { OPENCLAW_STATE_DIR: `${home}/mine` });
    expect((JSON.parse(stdout) as { gateway: { stateDir: string } }).gateway.stateDir).toBe(`${home}/mine`);
  });

  it('K-023 --dev setup writes the dev config with mode, token and workspace, and leaves the default one alone', async () => {
    const own = temporaryHome();
    const setUp = (...args: string[]) => runCli([...args, 'setup', '--json'], { home: own });
    const first = await setUp();
    expect(first.code).toBe(0);
    const before = readFileSync(`${own}/.openclaw/openclaw.json`, 'utf8');
    const dev = await setUp('--dev');
    expect(JSON.parse(dev.stdout)).toMatchObject({
      config: { path: `${own}/.openclaw-dev/openclaw.json`, created: true },
      token: { generated: true },
    });
    const written = JSON.parse(readFileSync(`${own}/.openclaw-dev/openclaw.json`, 'utf8')) as Record<string, Record<string, unknown>>;
    expect(written).toMatchObject({
      gateway: { mode: 'local', auth: { mode: 'token', token: expect.stringMatching(/^[0-9a-f]{48}$/) } },
      agents: { defaults: { workspace: `${own}/.openclaw/workspace-dev` } },
    });
    expect(existsSync(`${own}/.openclaw/workspace-dev/AGENTS.md`)).toBe(true);
    expect(readFileSync(`${own}/.openclaw/openclaw.json`, 'utf8')).toBe(before);
    expect(dev.stdout + dev.stderr).not.toContain((written['gateway']?.['auth'] as { token: string }).token);
    // A second run changes no byte.
    const text = readFileSync(`${own}/.openclaw-dev/openclaw.json`, 'utf8');
    expect((await setUp('--dev')).code).toBe(0);
    expect(readFileSync(`${own}/.openclaw-dev/openclaw.json`, 'utf8')).toBe(text);
    rmSync(own, { recursive: true, force: true });
  });

  it('K-030 gateway --dev does not select the dev profile', async () => {
    const other = await startGateway({ config: null, args: ['--dev'] });
    try {
      expect(existsSync(`${other.home}/.openclaw/openclaw.json`)).toBe(true);
      expect(existsSync(`${other.home}/.openclaw-dev`)).toBe(false);
    } finally {
      await other.close();
    }
  });

  it('advice repeats the profile', async () => {
    expect((await cli(['--profile', 'rescue', 'health'], { OPENCLAW_GATEWAY_PORT: deadPort })).stderr).toContain(
      'openclaw --profile rescue gateway',
    );
    expect((await cli(['--dev', 'status'], { OPENCLAW_GATEWAY_PORT: deadPort })).stdout).toContain('openclaw --dev gateway');
    expect((await cli(['--profile', 'rescue', 'setup'])).stdout).toContain('openclaw --profile rescue gateway');
    expect((await cli(['--dev', 'agent', '--help'])).stdout).toContain('$ openclaw --dev agent');
  });
});
