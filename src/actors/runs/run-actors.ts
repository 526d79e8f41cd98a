/** The parts of a run that touch the world: its place in a lane, its history, the model's answer, and its tools. */
import type { HistoryInput } from '../store/contract.ts';
import { surely } from '../store/patience.ts';
import { fromIo } from '../io.ts';
import { failPointAsync } from '../fail-points.ts';
import type { RunScope } from './desk.ts';
import { systemPrompt } from './prompt.ts';
import { runTool } from './tools/index.ts';
import type { RunWork, ToolCall } from './work.ts';

/** History a model is shown; the built-in one needs less, none needs more. */
const historyLimit = 200;
const progressGapMs = 1_000;
const firstTokenMs = 120_000;

export const laneSlot = (scope: RunScope) =>
  fromIo<{ runId: string; lane: string }>(({ input, guard, report }) =>
    scope.lanes.take(
      input.lane,
      guard(() => report({ type: 'slot.granted' })),
    ),
  );

/** Lives as long as its conversation: its end is how the desk learns of a crash. */
export const registration = (scope: RunScope) =>
  fromIo<{ sessionKey: string }>(
    ({ input }) =>
      () =>
        scope.left(input.sessionKey),
  );

export const prepare = (scope: RunScope) =>
  fromIo<{ runId: string }>(({ input, run, report, signal }) => {
    run(async () => {
      const work = scope.workOf(input.runId);
      const now = scope.now();
      work.startedAt = now;
      // A disk that has a bad moment is no reason to answer with an apology; the deadline of the run still counts.
      await surely(() => scope.store().call('runs.start', { runId: input.runId, now }));
      await failPointAsync('run.started');
      if (signal.aborted) return;
      work.stream.start(work.startedAt);
      const { rows } = await surely(() => scope.store().call('history.read', { sessionKey: work.row.sessionKey, limit: historyLimit }));
      work.messages = [...rows.map(({ sessionId: _id, seq: _seq, ...entry }) => entry), ...work.entries];
      report({ type: 'run.prepared' });
    });
  });

export const modelStep = (scope: RunScope) =>
  fromIo<{ runId: string }>(({ input, run, report, signal, after }) => {
    const work = scope.workOf(input.runId);
    const cancelFirst = after(firstTokenMs, () => report({ type: 'step.failed', error: 'the model did not begin to answer' }));
    run(async () => {
      try {
        await step(scope, work, signal, () => report({ type: 'step.progress' }), cancelFirst);
      } catch (error) {
        // What aborted the signal is already known to whoever aborted it.
        if (signal.aborted) return;
        report({ type: 'step.failed', error: error instanceof Error ? error.message.slice(0, 240) : 'the model failed' });
        return;
      }
      report({ type: work.pendingCalls.length > 0 ? 'step.tools' : 'step.text' });
    });
  });

async function step(scope: RunScope, work: RunWork, signal: AbortSignal, progress: () => void, onFirst: () => void): Promise<void> {
  work.doing = 'its model was chosen';
  await failPointAsync('run.model');
  const model = await scope.modelFor(work.row);
  work.model = { provider: model.provider, name: model.name, ref: model.ref };
  work.doing = `waiting for ${model.ref}`;
  const calls: ToolCall[] = [];
  const usage = { input: 0, output: 0 };
  let reasoning = '';
  let progressAt = 0;
  for await (const part of model.step({ system: systemPrompt(work.row), messages: work.messages, tools: scope.tools, signal })) {
    if (signal.aborted) return;
    onFirst();
    if (scope.now() - progressAt >= progressGapMs) {
      progressAt = scope.now();
      progress();
    }
    if (part.type === 'text') work.stream.text(part.delta);
    else if (part.type === 'reasoning') reasoning += part.delta;
    else if (part.type === 'toolCall') calls.push({ id: part.id, name: part.name, arguments: part.arguments });
    else {
      usage.input += part.input;
      usage.output += part.output;
    }
  }
  if (signal.aborted) return;
  work.usage = { input: work.usage.input + usage.input, output: work.usage.output + usage.output };
  remember(work, assistantEntry(work, reasoning, calls, usage, scope.now()));
  work.pendingCalls = calls;
  if (calls.length === 0) work.finalText = work.stream.current;
}

function assistantEntry(
  work: RunWork,
  reasoning: string,
  calls: ToolCall[],
  usage: { input: number; output: number },
  timestamp: number,
): HistoryInput {
  const { current } = work.stream;
  return {
    role: 'assistant',
    content: [
      ...(reasoning === '' ? [] : [{ type: 'thinking', thinking: reasoning }]),
      ...(current === '' ? [] : [{ type: 'text', text: current }]),
      ...calls.map((call) => ({ type: 'toolCall', ...call })),
    ],
    timestamp,
    stopReason: calls.length > 0 ? 'toolUse' : 'stop',
    ...(work.model === undefined ? {} : { provider: work.model.provider, model: work.model.name }),
    ...(usage.input + usage.output === 0 ? {} : { usage: { ...usage, total: usage.input + usage.output } }),
    runId: work.row.runId,
  };
}

function remember(work: RunWork, entry: HistoryInput): void {
  work.entries.push(entry);
  work.messages.push(entry);
}

export const tools = (scope: RunScope) =>
  fromIo<{ runId: string }>(({ input, run, report, signal }) => {
    run(async () => {
      const work = scope.workOf(input.runId);
      work.doing = 'it was about to use a tool';
      await failPointAsync('run.tool');
      if (signal.aborted) return;
      work.stream.nextMessage();
      for (const call of work.pendingCalls) {
        if (signal.aborted) return;
        work.doing = `the tool ${call.name} was running`;
        // On disk before it happens: after a kill nobody could tell any more whether it did.
        if (scope.tools.find(({ name }) => name === call.name)?.readOnly === false) {
          await surely(() => scope.store().call('runs.note', { runId: work.row.runId, entries: work.entries }));
          if (signal.aborted) return;
        }
        work.stream.tool({ phase: 'start', name: call.name, toolCallId: call.id, args: call.arguments });
        const { sessionKey, agentId, runId, source } = work.row;
        const isOwner = source !== 'channel' && scope.isMain(sessionKey, agentId);
        const result = await runTool(scope.tools, call, { sessionKey, agentId, runId, isOwner, signal });
        // Abandoned: a tool that ignores its signal may come back whenever it likes, nobody listens.
        if (signal.aborted) return;
        work.stream.tool({
          phase: 'result',
          name: call.name,
          toolCallId: call.id,
          isError: result.isError,
          result: result.text.slice(0, 8192),
        });
        remember(work, {
          role: 'toolResult',
          content: [{ type: 'text', text: result.text }],
          timestamp: scope.now(),
          toolCallId: call.id,
          toolName: call.name,
          isError: result.isError,
          runId,
        });
      }
      work.pendingCalls = [];
      report({ type: 'tools.ended' });
    });
  });
