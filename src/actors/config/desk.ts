/**
 * Changes the configuration file on behalf of clients, one change after the other: whoever based a change on what is no
 * longer there is refused, nothing invalid is ever written, and nobody else in this process writes the file.
 * What a change needs is asked of the restart controller afterwards.
 */
import { homedir } from 'node:os';
import PQueue from 'p-queue';
import type { ConfigWrite, MethodContext } from '../../protocol/context.ts';
import type { RestartWish } from '../../protocol/restart-wish.ts';
import { GatewayError, invalidRequest, unavailable } from '../../protocol/errors.ts';
import { describeConfig } from '../../protocol/config/describe.ts';
import { patchText, readPatch } from '../../protocol/config/edit.ts';
import { type ParsedConfig, parseConfig } from '../../protocol/config/parse.ts';
import { workspaceOf } from '../../protocol/config/paths.ts';
import { planOf } from '../../protocol/config/plan.ts';
import { close, openText, secretsOf } from '../../protocol/config/secrets.ts';
import type { ConfigIssue } from '../../protocol/config/types.ts';
import { keepSecret } from '../redact.ts';
import { within } from '../runs/within.ts';
import type { Gateway } from '../tree.ts';
import { version } from '../version.ts';
import { changedMeanwhile, type ConfigFile, readConfigFile, replaceConfigFile } from './file.ts';
import type { Restarts } from './restarts.ts';
import { payloadOf, type Sentinel, writeSentinel } from './sentinel.ts';
import { configSnapshot } from './snapshot.ts';

export interface ConfigDesk {
  methods: MethodContext['config'];
  /** Resolves when no change is under way: whoever reads now reads all of them. */
  settled(): Promise<void>;
}

/** People edit a configuration, one at a time; a longer line is a program that has lost its way. */
const maxWaiting = 20;
/** A file system that does not answer must not keep the caller waiting as well. */
const patienceMs = 15_000;

interface Written {
  hash: string;
  parsed: ParsedConfig;
}

/** @param restarts of the whole process: it outlives every generation. */
export function createConfigDesk(gateway: Gateway, restarts: Restarts): ConfigDesk {
  const { options, env } = gateway;
  const log = gateway.log.child('config');
  const queue = new PQueue({ concurrency: 1 });
  const home = options.env['HOME'] || homedir();
  const read = (text: string | null) => parseConfig(text, options.env, { home, workspace: workspaceOf(home, options.profile) });

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (queue.size >= maxWaiting) throw unavailable('too many changes of the configuration are waiting', 1_000);
    const answer = await within(
      queue.add(async () => ({ value: await work() })),
      patienceMs,
    );
    if (answer !== undefined) return answer.value;
    throw new GatewayError('UNAVAILABLE', 'the configuration file does not answer; read it again before trying once more');
  }

  /** @param make gives the new text; what it throws is the answer. */
  async function change(method: string, baseHash: string | undefined, make: (file: ConfigFile) => Proposal): Promise<Written> {
    const file = await readConfigFile(options.configPath);
    checkBase(file, baseHash);
    const { text, tolerated } = make(file);
    const parsed = read(text);
    const issues = refusals(parsed, tolerated);
    if (issues.length > 0) throw invalidConfig(issues);
    for (const secret of secretsOf(parsed.config)) keepSecret(secret);
    if (text === file.text && file.isText) return { hash: file.hash, parsed };
    const hash = await replaceConfigFile(file, text);
    log.info({ method, changed: planOf(gateway.applied, parsed.config).changed.slice(0, 50) }, 'the configuration file was changed');
    return { hash, parsed };
  }

  const whole =
    (raw: string) =>
    (file: ConfigFile): Proposal => ({ text: opened(raw, file.text, read), tolerated: [] });

  const patched =
    (raw: string) =>
    (file: ConfigFile): Proposal => {
      const present = read(file.text);
      // Edits need a text whose every part is understood; a whole new one can replace it.
      if (!present.valid) throw invalidConfig(refusals(present, present.issues));
      if (!file.isText) throw invalidRequest(`${options.configPath} is not valid UTF-8`, { reason: 'invalid-config' });
      const asked = readPatch(raw);
      if ('problem' in asked) throw invalidRequest(`invalid config.patch raw: ${asked.problem}`, { reason: 'invalid-patch' });
      const again = readPatch(opened(raw, file.text, read));
      const { patch } = 'patch' in again ? again : asked;
      return { text: patchText(file.text ?? '', patch), tolerated: present.issues };
    };

  const answerOf = ({ hash, parsed }: Written) => ({
    ok: true,
    path: options.configPath,
    hash,
    config: close(parsed.config),
  });

  const payload = (method: string, wish: RestartWish) =>
    payloadOf(wish, { kind: 'config-apply', status: 'ok', ts: env.now(), stats: { mode: method, root: options.configPath } });

  async function restart(method: string, wish: RestartWish) {
    // The note first: nothing is told about a restart that was faster.
    const sentinel = await writeSentinel(options.stateDir, payload(method, wish), log);
    return { restart: restarts.schedule(method, 'soft', wish), sentinel };
  }

  return {
    settled: () => queue.onIdle(),
    methods: {
      get: () => configSnapshot(options, gateway.applied),
      schema: () => ({ ...describeConfig(), version, generatedAt: new Date(env.now()).toISOString() }),
      set: ({ raw, baseHash }) =>
        inTurn(async () => ({
          ...answerOf(await change('config.set', baseHash, whole(raw))),
          appliedHash: options.configHash,
          restart: restarts.none('not scheduled: config.set only writes, and the next restart reads it'),
        })),
      patch: (params: ConfigWrite & RestartWish) =>
        inTurn(async () => {
          restarts.expectDecider();
          const written = await change('config.patch', params.baseHash, patched(params.raw));
          const plan = planOf(gateway.applied, written.parsed.config);
          if (plan.ignored.length > 0) log.warn({ keys: plan.ignored }, 'only a new process takes over these keys');
          if (plan.class === 'soft') return { ...answerOf(written), plan, ...(await restart('config.patch', params)) };
          if (plan.ignored.length === 0) adopt(gateway, written);
          const sentinel: Sentinel = { path: null, payload: payload('config.patch', params) };
          return { ...answerOf(written), plan, restart: restarts.none('not needed'), sentinel };
        }),
      apply: (params: ConfigWrite & RestartWish) =>
        inTurn(async () => {
          restarts.expectDecider();
          const written = await change('config.apply', params.baseHash, whole(params.raw));
          return { ...answerOf(written), ...(await restart('config.apply', params)) };
        }),
    },
  };
}

interface Proposal {
  text: string;
  /** What was wrong before, and may stay so. */
  tolerated: readonly ConfigIssue[];
}

/** Nobody reads what changed, so the gateway runs on the new file as it is. */
function adopt(gateway: Gateway, { hash, parsed }: Written): void {
  gateway.applied = parsed.config;
  gateway.options.configHash = hash;
  gateway.options.configIssues = parsed.issues;
}

function checkBase({ text, hash }: ConfigFile, baseHash: string | undefined): void {
  if (baseHash === hash || (text === null && !baseHash)) return;
  if (baseHash) throw changedMeanwhile(hash);
  throw invalidRequest('config base hash required; read the configuration with config.get first', { reason: 'base-hash-required', hash });
}

/** The text with its closed secrets put back. What cannot be read is left to the parser to refuse. */
function opened(raw: string, present: string | null, read: (text: string) => ParsedConfig): string {
  if (read(raw).document === undefined) return raw;
  const isReadable = present !== null && read(present).document !== undefined;
  const { text, lost } = openText(raw, isReadable ? present : null);
  if (lost.length === 0) return text;
  throw invalidConfig(lost.map((path) => ({ path, message: 'is the closed form of a secret that is not there' })));
}

/** A write brings no error and no unknown key, unless they were there before. */
function refusals({ issues }: ParsedConfig, tolerated: readonly ConfigIssue[]): { path: string; message: string }[] {
  const isOld = ({ path, message }: ConfigIssue) => tolerated.some((old) => old.path === path && old.message === message);
  return issues
    .filter((issue) => issue.level === 'error' || (issue.unknown === true && !isOld(issue)))
    .map(({ path, message }) => ({ path, message }));
}

const maxIssues = 100;

const invalidConfig = (issues: { path: string; message: string }[]) =>
  invalidRequest('invalid config', { reason: 'invalid-config', issues: issues.slice(0, maxIssues) });
