/**
 * Ends a run: its row, what it adds to the history and the messages that leave because of it are committed together; only
 * then is anybody told. What is on disk after a kill is therefore all of it or nothing.
 *   reports  delivery.ended
 */
import type { Ending } from '../../machines/conversation.ts';
import type { RunOutcome } from '../../protocol/context.ts';
import { failPoint } from '../fail-points.ts';
import { fromIo } from '../io.ts';
import type { HistoryInput, OutboxInput, RunState } from '../store/contract.ts';
import { surely } from '../store/patience.ts';
import { deadlineOf } from './deadline.ts';
import type { RunScope } from './desk.ts';
import type { RunStreamEnd, RunWork } from './work.ts';

export const delivery = (scope: RunScope) =>
  fromIo<{ sessionKey: string; runId: string; ending: Ending }>(({ input: { runId, ending }, run, report }) => {
    const work = scope.workOf(runId);
    let isWritten = false;
    run(async () => {
      await settle(scope, work, ending);
      isWritten = true;
      report({ type: 'delivery.ended', runId });
    });
    return () => {
      if (!isWritten) surrender(scope, work);
    };
  });

/** Writes the end of a run down and tells everybody. Rejects when it cannot be written. */
export async function settle(scope: RunScope, work: RunWork, ending: Ending): Promise<void> {
  const { runId, source } = work.row;
  const endedAt = scope.now();
  // The process ends and nobody waits for a channel's answer: the run stays open and is looked at after the start.
  if (ending.state === 'aborted' && ending.by === 'shutdown' && source === 'channel') {
    scope.settled(runId, { ok: false, payload: { runId, status: 'error', summary: 'gateway stopped' } });
    return;
  }
  const outcome = outcomeOf(scope, work, ending, endedAt);
  const written = {
    runId,
    state: stateOf(ending),
    final: outcome,
    endedAt,
    history: historyOf(work, ending, endedAt),
    outbox: messagesOf(scope, work, ending),
    entry: entryOf(work),
  };
  // An answer that exists is not thrown away because the disk has a bad moment; the conversation waits with it.
  const { run, first, outbox } = await surely(() => scope.store().call('runs.finish', written));
  failPoint('run.done');
  work.stream.end(streamEnd(work, ending, outcome, endedAt));
  for (const { lane } of outbox) scope.wakeOutbox(lane);
  scope.touch(run);
  // A second ending of the same run changes nothing; everybody is told the first.
  scope.settled(runId, first ? outcome : ((run.final as RunOutcome | undefined) ?? outcome));
}

/** Nobody could write the end down. Callers are told; the row stays open, and the next start decides about it. */
export function surrender(scope: RunScope, work: RunWork): void {
  const { runId } = work.row;
  const outcome = failure(runId, 'UNAVAILABLE', 'the end of this run could not be written down');
  work.stream.end({ kind: 'error', message: outcome.error.message, startedAt: work.startedAt, endedAt: scope.now() });
  scope.settled(runId, outcome);
}

const stateOf = (ending: Ending): Exclude<RunState, 'queued' | 'active'> =>
  ending.state === 'aborted' && ending.by === 'shutdown' ? 'interrupted' : ending.state;

/** How a run that has no answer is told to its callers. */
export const failure = (runId: string, code: string, summary: string) => ({
  ok: false,
  payload: { runId, status: 'error' as const, summary },
  error: { code, message: summary },
});

/** Which limit it was, where it comes from and what the run was doing: nobody shall have to guess who ended it (F-20). */
function lateness({ settings }: RunScope, { row: { request }, doing }: RunWork, what: 'deadline' | 'stall' | 'queue'): string {
  if (what === 'queue') return 'the run waited too long for its turn';
  if (what === 'stall') return `the run made no progress for ${settings.stallMs / 1_000} s (agents.defaults.stallSeconds) while ${doing}`;
  const origin = request.timeoutMs === undefined ? 'agents.defaults.timeoutSeconds' : 'the timeout of the request';
  return `the run took longer than ${deadlineOf(request.timeoutMs, settings.timeoutMs) / 1_000} s (${origin}) while ${doing}`;
}

function outcomeOf(scope: RunScope, work: RunWork, ending: Ending, endedAt: number): RunOutcome {
  const { runId } = work.row;
  if (ending.state === 'failed') return failure(runId, 'UNAVAILABLE', ending.error);
  if (ending.state === 'timedOut')
    return failure(runId, ending.what === 'queue' ? 'UNAVAILABLE' : 'AGENT_TIMEOUT', lateness(scope, work, ending.what));
  if (ending.state === 'aborted' && ending.by === 'shutdown') return failure(runId, 'UNAVAILABLE', 'stopped: the gateway is shutting down');
  const text = ending.state === 'done' ? work.finalText : work.stream.current;
  return {
    ok: true,
    payload: {
      runId,
      status: 'ok',
      summary: ending.state === 'done' ? 'completed' : 'aborted',
      result: {
        payloads: text === '' ? [] : [{ text }],
        meta: {
          durationMs: Math.max(0, Math.round(endedAt - (work.startedAt ?? endedAt))),
          agentMeta: {
            sessionId: work.row.sessionId,
            provider: work.model?.provider ?? 'none',
            model: work.model?.name ?? 'none',
            usage: { ...work.usage, total: work.usage.input + work.usage.output },
          },
          sessionId: work.row.sessionId,
          sessionKey: work.row.sessionKey,
          ...(ending.state === 'aborted' ? { aborted: true, stopReason: ending.by } : {}),
        },
      },
    },
  };
}

/** A turn that never began leaves no trace in the history; a partial answer is kept and marked. */
function historyOf(work: RunWork, ending: Ending, timestamp: number): HistoryInput[] {
  if (work.startedAt === undefined && ending.state !== 'done') return [];
  const text = work.stream.current;
  const isWritten = work.entries.at(-1)?.role === 'assistant';
  if (ending.state === 'done' || text === '' || isWritten) return work.entries;
  return [
    ...work.entries,
    { role: 'assistant', content: [{ type: 'text', text }], timestamp, stopReason: 'aborted', runId: work.row.runId },
  ];
}

function messagesOf(scope: RunScope, work: RunWork, ending: Ending): OutboxInput[] {
  const { address, runId } = work.row;
  if (address === undefined) return [];
  const text = ending.state === 'done' ? work.finalText.trim() : apology(ending);
  if (text === '') return [];
  return scope.chunk(address.channel, text).map((part, index) => ({
    key: `run:${runId}:${index + 1}`,
    // Only the first part quotes the message it answers.
    address: index === 0 ? address : withoutReply(address),
    kind: 'text',
    payload: { text: part },
  }));
}

function withoutReply({ replyTo: _replyTo, ...address }: NonNullable<RunWork['row']['address']>) {
  return address;
}

/** People in a chat see no error frame; they are told in one line. */
function apology(ending: Ending): string {
  if (ending.state === 'failed') return 'I could not answer that: the model failed. Please try again.';
  if (ending.state === 'timedOut') return 'I had to give up on that one, it took too long. Please try again.';
  return '';
}

function entryOf(work: RunWork): Record<string, unknown> {
  return {
    ...(work.model === undefined ? {} : { modelProvider: work.model.provider, model: work.model.name }),
    ...(work.row.address === undefined
      ? {}
      : { deliveryContext: { channel: work.row.address.channel, to: work.row.address.chat, accountId: work.row.address.account } }),
  };
}

function streamEnd(work: RunWork, ending: Ending, { error }: RunOutcome, endedAt: number): RunStreamEnd {
  const times = { startedAt: work.startedAt, endedAt };
  switch (ending.state) {
    case 'done':
      return { kind: 'final', text: work.finalText, ...times };
    case 'aborted':
      return ending.by === 'shutdown'
        ? { kind: 'error', message: 'the gateway is shutting down', ...times }
        : { kind: 'aborted', stopReason: ending.by, ...times };
    case 'timedOut':
      return {
        kind: 'error',
        message: error?.message ?? 'the run timed out',
        ...times,
        ...(work.row.source === 'chat' ? { stopReason: 'timeout' } : {}),
      };
    default:
      return { kind: 'error', message: ending.error, ...times };
  }
}
