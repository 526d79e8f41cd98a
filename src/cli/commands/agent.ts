import { randomUUID } from 'node:crypto';
import { isStateOwned } from '../lock-check.ts';
import { askThroughRestart, type Session } from '../ask.ts';
import { type CommandCall, CommandError, clientOptions, defineCommand, integerOption, textOption, UsageError } from '../command.ts';
import type { Io } from '../io.ts';
import { resolveTarget } from '../target.ts';

interface Final {
  runId: string;
  status: 'accepted' | 'ok' | 'error' | 'timeout';
  summary?: string;
  result?: { payloads?: { text?: string | null; mediaUrl?: string | null }[] };
}

const { timeout: _timeout, ...connection } = clientOptions;
const abortWaitMs = 5_000;
const thinkingLevels = ['off', 'minimal', 'low', 'medium', 'high', 'xhigh'];
/** What the transport waits longer than the run may take, so that the end of the run can still be told. */
const transportGraceSeconds = 30;

export const agent = defineCommand({
  path: ['agent'],
  summary: 'Says something to the agent, waits, and prints its answer.',
  usage: 'openclaw agent --message <text> (--agent <id> | --to <peer> | --session-id <id>) [--json]',
  options: {
    message: { type: 'string', short: 'm', help: 'What to say', value: '<text>' },
    to: { type: 'string', short: 't', help: 'The conversation of this peer', value: '<peer>' },
    'session-id': { type: 'string', help: 'The conversation with this key', value: '<key>' },
    agent: { type: 'string', help: 'The main conversation of this agent', value: '<id>' },
    channel: { type: 'string', help: 'Channel of --to', value: '<id>' },
    deliver: { type: 'boolean', help: 'Also send the answer to the chat' },
    'reply-to': { type: 'string', help: 'Send the answer to this peer instead', value: '<peer>' },
    'reply-channel': { type: 'string', help: 'Send the answer through this channel instead', value: '<id>' },
    'reply-account': { type: 'string', help: 'Send the answer from this account instead', value: '<id>' },
    thinking: { type: 'string', help: thinkingLevels.join(', '), value: '<level>' },
    'no-wait': { type: 'boolean', help: 'Return once it is accepted and print the run id' },
    timeout: { type: 'string', help: 'Seconds the run may take, default agents.defaults.timeoutSeconds or 600', value: '<seconds>' },
    'idempotency-key': { type: 'string', help: 'The same key never makes a second run', value: '<key>' },
    local: { type: 'boolean', help: 'Run the agent here; not while a gateway owns this state' },
    ...connection,
  },
  examples: ['openclaw agent --agent main --message hello'],
  interrupt: 'own',
  async run(call) {
    const { options } = call;
    const { params, runId, seconds } = readRequest(call);
    const target = await resolveTarget(call);
    if (options['local'] === true) return refuseLocal(target.stateDir);
    const timeoutMs = Math.max(10, (seconds || target.runSeconds) + transportGraceSeconds) * 1_000;
    const run = watchRun(runId);
    const interrupt = onInterrupt(call.io, () => run.abort());
    try {
      const final = await askThroughRestart<Final>(
        // --timeout of this command is about the run, in seconds.
        { ...call, options: { ...options, timeout: undefined } },
        {
          method: 'agent',
          params,
          timeoutMs,
          expectFinal: options['no-wait'] !== true,
          signal: interrupt.signal,
          onSession: run.onSession,
        },
      );
      const code = show(final, options, call.io);
      // The run's own end may arrive together with the answer to the stop, and be read first.
      return interrupt.isAsked() ? 130 : code;
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      return 130;
    } finally {
      interrupt.off();
    }
  },
});

function readRequest({ options }: CommandCall) {
  const message = textOption(options['message']);
  if (message === undefined) throw new UsageError('--message is needed, for example: openclaw agent --agent main --message hello');
  if (['to', 'session-id', 'agent'].every((name) => textOption(options[name]) === undefined)) {
    throw new UsageError('choose a conversation with --agent main, --to <peer> or --session-id <key>');
  }
  const thinking = textOption(options['thinking']);
  if (thinking !== undefined && !thinkingLevels.includes(thinking))
    throw new UsageError(`--thinking must be one of: ${thinkingLevels.join(', ')}`);
  const seconds = integerOption('timeout', options['timeout'], { min: 0, max: 86_400 });
  const runId = textOption(options['idempotency-key']) ?? randomUUID();
  const names = {
    to: 'to',
    'session-id': 'sessionKey',
    agent: 'agentId',
    channel: 'channel',
    thinking: 'thinking',
    'reply-to': 'replyTo',
    'reply-channel': 'replyChannel',
    'reply-account': 'replyAccountId',
  };
  const given = Object.entries(names).flatMap(([flag, name]) => {
    const value = textOption(options[flag]);
    return value === undefined ? [] : [[name, value] as const];
  });
  const params = {
    message,
    idempotencyKey: runId,
    ...Object.fromEntries(given),
    ...(options['deliver'] ? { deliver: true } : {}),
    ...(seconds ? { timeout: seconds } : {}),
  };
  return { params, runId, seconds };
}

/** Remembers where the run is, so that it can be aborted: its key comes with its events. */
function watchRun(runId: string) {
  let session: Session | undefined;
  let sessionKey = 'main';
  return {
    onSession(next: Session) {
      session = next;
      next.client.on('agent', ({ payload }) => {
        const event = payload as { runId?: string; sessionKey?: string };
        if (event.runId === runId && event.sessionKey) ({ sessionKey } = event);
      });
    },
    async abort(): Promise<void> {
      await session?.client.request('chat.abort', { sessionKey, runId }, { timeoutMs: abortWaitMs });
    },
  };
}

/** The first Ctrl-C ends the run in the gateway and then the wait; the second leaves at once. */
function onInterrupt(io: Io, abort: () => Promise<void>) {
  const stopped = new AbortController();
  let isAsked = false;
  const handler = () => {
    if (isAsked) process.exit(130);
    isAsked = true;
    io.note('stopping the run …');
    abort()
      .catch(() => io.note('the gateway did not confirm that the run has stopped'))
      .finally(() => stopped.abort(new Error('interrupted')));
  };
  process.on('SIGINT', handler);
  return { signal: stopped.signal, isAsked: () => isAsked, off: () => process.off('SIGINT', handler) };
}

function show(final: Final, options: CommandCall['options'], io: Io): number {
  const isGood = final.status === 'ok' || final.status === 'accepted';
  if (options['json']) {
    io.json(final);
    return isGood ? 0 : 1;
  }
  if (options['no-wait']) {
    io.print(final.runId);
    return isGood ? 0 : 1;
  }
  const payloads = final.result?.payloads ?? [];
  for (const { text, mediaUrl } of payloads) {
    if (text) io.print(text);
    if (mediaUrl) io.print(`MEDIA:${mediaUrl}`);
  }
  if (payloads.length === 0) io.print(isGood ? 'No reply from agent.' : (final.summary ?? final.status));
  return isGood ? 0 : 1;
}

/** Two owners of one state would destroy it. */
async function refuseLocal(stateDir: string): Promise<never> {
  if (await isStateOwned(stateDir))
    throw new CommandError(`a gateway is running and owns ${stateDir}: --local would be a second owner`, 'leave out --local', 75);
  throw new CommandError(
    '--local is not part of this release: a run needs a gateway',
    'start one with: openclaw gateway, and leave out --local',
  );
}
