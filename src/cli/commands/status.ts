import { release, arch } from 'node:os';
import { withGateway } from '../ask.ts';
import { clientOptions, type CommandCall, defineCommand } from '../command.ts';
import { withProfile } from '../errors.ts';
import type { Io } from '../io.ts';
import { table } from '../table.ts';
import { resolveTarget, type Target } from '../target.ts';
import { cliVersion } from '../version.ts';

/** The parts of the `status` and `health` payloads that this report is made of. */
interface Summary {
  linkChannel?: { label: string; linked: boolean; authAgeMs: number | null };
  heartbeat: object;
  channelSummary: string[];
  queuedSystemEvents: string[];
  sessions: { count: number; recent: { key: string; age: number | null; model: string | null }[] };
}

interface HealthPart {
  phase: string;
  model?: string;
  channels: Record<string, { accounts?: Record<string, { state: string; evidence?: Record<string, unknown>; lastError?: string }> }>;
}

export const status = defineCommand({
  path: ['status'],
  summary: 'What is going on: the gateway, its channels and its conversations.',
  usage: 'openclaw status [--deep] [--json]',
  options: { deep: { type: 'boolean', help: 'Look at everything anew' }, ...clientOptions },
  async run(call) {
    const { options, io } = call;
    // Whom to ask is known even when nobody answers; an unclear address is a failure of its own.
    const target = await resolveTarget(call);
    const answer = await ask(call).catch((error: Error) => error);
    const report = build(target, answer, options['deep'] === true);
    if (options['json']) io.json(report);
    else print(report, io, call.profile);
    // Being down is an answer, not a failure of this command.
    return 0;
  },
});

function ask(call: CommandCall) {
  const from = performance.now();
  return withGateway(call, async ({ client, ask: request }) => {
    const connectLatencyMs = Math.round(performance.now() - from);
    const [summary, health] = await Promise.all([
      request<Summary>('status'),
      request<HealthPart>('health', call.options['deep'] ? { probe: true } : {}),
    ]);
    return { summary, health, hello: client.hello, connectLatencyMs };
  });
}

type Answer = Awaited<ReturnType<typeof ask>>;

function build(target: Target, answer: Answer | Error, isDeep: boolean) {
  const reached = answer instanceof Error ? undefined : answer;
  const error = answer instanceof Error ? answer.message : undefined;
  return {
    schemaVersion: 1,
    ...(reached?.summary.linkChannel ? { linkChannel: reached.summary.linkChannel } : {}),
    ...(reached ? { heartbeat: reached.summary.heartbeat } : {}),
    channelSummary: reached?.summary.channelSummary ?? [],
    channels: reached ? channelsOf(reached.health) : [],
    queuedSystemEvents: reached?.summary.queuedSystemEvents ?? [],
    sessions: reached?.summary.sessions ?? { count: 0, recent: [] },
    gateway: {
      mode: target.urlSource.startsWith('local') ? 'local' : 'remote',
      url: target.shownUrl,
      urlSource: target.urlSource,
      reachable: reached !== undefined,
      ...(reached
        ? {
            connectLatencyMs: reached.connectLatencyMs,
            phase: reached.health.phase,
            ...(reached.health.model ? { model: reached.health.model } : {}),
          }
        : {}),
      ...(reached?.hello
        ? { self: { ...(reached.hello.server.host ? { host: reached.hello.server.host } : {}), version: reached.hello.server.version } }
        : {}),
      ...(error === undefined ? {} : { error }),
      configPath: target.configPath,
      stateDir: target.stateDir,
    },
    os: { platform: process.platform, release: release(), arch: arch(), label: `${process.platform} ${release()} (${arch()})` },
    ...(reached && isDeep ? { health: reached.health } : {}),
    version: { cli: cliVersion(), ...(reached?.hello ? { gateway: reached.hello.server.version } : {}) },
  };
}

const channelsOf = ({ channels }: HealthPart) =>
  Object.entries(channels).flatMap(([id, { accounts }]) =>
    Object.entries(accounts ?? {}).map(([accountId, { state, evidence, lastError }]) => ({
      id,
      accountId,
      state,
      ...evidence,
      ...(lastError ? { lastError } : {}),
    })),
  );

function print(report: ReturnType<typeof build>, io: Io, profile: string | undefined): void {
  const { gateway, channels, sessions, version } = report;
  const state = gateway.reachable ? io.paint(gateway.phase?.split('.')[0] ?? 'running', 'green') : io.paint('unreachable', 'red');
  const rows: string[][] = [
    ['Gateway', `${state}  ${gateway.url} (${gateway.urlSource})${gateway.reachable ? `, ${gateway.connectLatencyMs} ms` : ''}`],
    ['Config', gateway.configPath],
    ['State', gateway.stateDir],
    ['Version', `${version.cli}${version.gateway && version.gateway !== version.cli ? ` (gateway ${version.gateway})` : ''}`],
  ];
  if (gateway.model) rows.push(['Model', gateway.model]);
  if (report.linkChannel)
    rows.push([report.linkChannel.label, report.linkChannel.linked ? io.paint('linked', 'green') : io.paint('not linked', 'yellow')]);
  for (const { id, accountId, state: word, lastError } of channels) {
    rows.push([`${id}/${accountId}`, `${io.paint(word, word === 'online' ? 'green' : 'yellow')}${lastError ? ` (${lastError})` : ''}`]);
  }
  if (gateway.reachable) rows.push(['Sessions', String(sessions.count)]);
  for (const { key, age } of sessions.recent.slice(0, 5))
    rows.push(['', `${key}${age === null ? '' : `  ${io.paint(`${Math.round(age / 1_000)} s ago`, 'dim')}`}`]);
  for (const line of table(rows.map(([name = '', text = '']) => [io.paint(name, 'bold'), text]))) io.print(line);
  if (gateway.reachable) return;
  io.print(
    withProfile(
      `\nThe gateway does not answer: ${gateway.error ?? 'no reason given'}\nStart it with: openclaw gateway   (first time: openclaw setup)`,
      profile,
    ),
  );
}
