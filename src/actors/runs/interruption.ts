/**
 * Ends a run that was going on when the process ended and that may not begin again (agent.md 4.6): it is too old, was begun
 * twice, or had begun something that must not happen twice. Nobody knows what became of that, and nobody pretends to.
 */
import type { RunOutcome } from '../../protocol/context.ts';
import type { HistoryInput } from '../store/contract.ts';
import { surely } from '../store/patience.ts';
import { failure } from './delivery.ts';
import type { RunScope } from './desk.ts';
import type { RunWork } from './work.ts';

const unknownResult = 'interrupted, outcome unknown';

export async function writeInterrupted(scope: RunScope, work: RunWork): Promise<void> {
  const { row } = work;
  const now = scope.now();
  const history = row.noted === undefined ? work.entries : withUnknownResults(row.noted, now);
  const pending = history.filter(({ content }) => content[0]?.['text'] === unknownResult).map(({ toolName }) => toolName);
  const outcome = failure(row.runId, 'UNAVAILABLE', summaryOf(pending));
  const text =
    row.noted === undefined
      ? 'I was interrupted while answering and did not start again. Please ask once more.'
      : `I was interrupted in the middle of this (${pending.join(', ')}) and cannot tell whether it was done. Shall I continue?`;
  const { run, first, outbox } = await surely(() =>
    scope.store().call('runs.finish', {
      runId: row.runId,
      state: 'interrupted',
      final: outcome,
      endedAt: now,
      history,
      outbox: row.address === undefined ? [] : [{ key: `run:${row.runId}:1`, address: row.address, kind: 'text', payload: { text } }],
    }),
  );
  for (const { lane } of outbox) scope.wakeOutbox(lane);
  work.stream.end({ kind: 'error', message: outcome.error.message, startedAt: row.startedAt, endedAt: now });
  scope.settled(row.runId, first ? outcome : ((run.final as RunOutcome | undefined) ?? outcome));
}

const summaryOf = (pending: readonly (string | undefined)[]) =>
  pending.length === 0
    ? 'interrupted: the gateway stopped while it was running'
    : `interrupted: the gateway stopped while it was running, and what became of ${pending.join(', ')} is unknown`;

/** Each tool call without a result gets one that says what is known: nothing. */
function withUnknownResults(entries: readonly HistoryInput[], timestamp: number): HistoryInput[] {
  const answered = new Set(entries.map(({ toolCallId }) => toolCallId));
  const open = entries.flatMap(({ content, runId }) =>
    content.filter(({ type, id }) => type === 'toolCall' && !answered.has(String(id))).map((call) => ({ call, runId })),
  );
  return [
    ...entries,
    ...open.map(({ call, runId }) => ({
      role: 'toolResult' as const,
      content: [{ type: 'text', text: unknownResult }],
      timestamp,
      toolCallId: String(call['id']),
      toolName: String(call['name']),
      isError: true,
      ...(runId === undefined ? {} : { runId }),
    })),
  ];
}
