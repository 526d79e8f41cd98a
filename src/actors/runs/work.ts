/**
 * What a run knows while it lives: its request, the messages so far, and the text that grows. Texts live here and not in
 * machine context, so neither an event nor the flight recorder can ever carry one.
 */
import type { EventName } from '../../protocol/events.ts';
import type { HistoryInput, RunRow } from '../store/contract.ts';

export interface ToolCall {
  id: string;
  name: string;
  arguments: Record<string, unknown>;
}

export interface RunWork {
  readonly row: RunRow;
  /** Spelling of the session key that events carry. */
  readonly eventKey: string;
  readonly stream: RunStream;
  /** Earlier messages of the conversation, then this turn's. */
  messages: HistoryInput[];
  /** What this turn adds to the history, in order. */
  entries: HistoryInput[];
  /** Tool calls of the last step, not executed yet. */
  pendingCalls: ToolCall[];
  finalText: string;
  startedAt: number | undefined;
  model: { provider: string; name: string; ref: string } | undefined;
  usage: { input: number; output: number };
  /** What it is at right now, for whoever has to say why it took too long. */
  doing: string;
}

type Broadcast = (event: EventName, payload: unknown, options?: { droppable?: boolean }) => void;

export interface RunStream {
  start(startedAt: number): void;
  text(delta: string): void;
  /** Text of the assistant message in progress. */
  readonly current: string;
  /** A new assistant message begins (after tools). */
  nextMessage(): void;
  tool(data: Record<string, unknown>): void;
  /** The only end of a run's events; later ones are ignored. */
  end(end: RunStreamEnd): void;
}

export type RunStreamEnd =
  | { kind: 'final'; text: string; startedAt: number | undefined; endedAt: number; usage?: unknown }
  | { kind: 'aborted'; stopReason: string; startedAt: number | undefined; endedAt: number }
  | { kind: 'error'; message: string; startedAt: number | undefined; endedAt: number; stopReason?: string };

const assistantGapMs = 40;
const chatGapMs = 150;

/** Numbers, throttles and sends the events of one run (agent.md 5, protocol 5.1 and 5.2). */
export function createRunStream(options: {
  runId: string;
  sessionKey: string;
  showTools: boolean;
  broadcast: Broadcast;
  now(): number;
}): RunStream {
  const { runId, sessionKey, broadcast, now } = options;
  let seq = 0;
  let text = '';
  let sentLength = 0;
  let agentAt = Number.NEGATIVE_INFINITY;
  let chatAt = Number.NEGATIVE_INFINITY;
  let ended = false;

  const agent = (stream: string, data: object, visible = true) => {
    // A suppressed event still takes its number: the counter says what happened, not what was shown.
    seq += 1;
    if (visible) broadcast('agent', { runId, seq, stream, ts: now(), data, sessionKey });
  };
  const message = (stopReason?: string) => ({
    role: 'assistant',
    content: [{ type: 'text', text }],
    timestamp: now(),
    ...(stopReason === undefined ? {} : { stopReason }),
  });

  function flush() {
    if (sentLength === text.length) return;
    const delta = text.slice(sentLength);
    sentLength = text.length;
    agentAt = now();
    agent('assistant', { text, delta });
  }

  return {
    get current() {
      return text;
    },
    start(startedAt) {
      // It may have been aborted while its start was written down.
      if (!ended) agent('lifecycle', { phase: 'start', startedAt });
    },
    text(delta) {
      if (ended || delta === '') return;
      text += delta;
      const at = now();
      if (at - agentAt < assistantGapMs) return;
      flush();
      if (at - chatAt < chatGapMs) return;
      chatAt = at;
      // A skipped delta is no loss: the next one, or the final, carries the whole text.
      broadcast('chat', { runId, sessionKey, seq, state: 'delta', message: message() }, { droppable: true });
    },
    nextMessage() {
      if (ended) return;
      flush();
      text = '';
      sentLength = 0;
    },
    tool(data) {
      if (ended) return;
      flush();
      agent('tool', data, options.showTools);
    },
    end(end) {
      if (ended) return;
      // Nothing of an aborted answer is shown any more; what was said stays in the history.
      if (end.kind !== 'aborted') flush();
      ended = true;
      const times = { ...(end.startedAt === undefined ? {} : { startedAt: end.startedAt }), endedAt: end.endedAt };
      if (end.kind === 'error') {
        agent('lifecycle', { phase: 'error', ...times, error: end.message });
        broadcast('chat', {
          runId,
          sessionKey,
          seq,
          ...(end.stopReason === undefined
            ? { state: 'error', errorMessage: end.message }
            : { state: 'aborted', stopReason: end.stopReason }),
        });
        return;
      }
      if (end.kind === 'aborted') {
        agent('lifecycle', { phase: 'end', ...times, aborted: true });
        broadcast('chat', { runId, sessionKey, seq, state: 'aborted', stopReason: end.stopReason });
        return;
      }
      text = end.text;
      agent('lifecycle', { phase: 'end', ...times });
      broadcast('chat', {
        runId,
        sessionKey,
        seq,
        state: 'final',
        ...(end.text === '' ? {} : { message: message() }),
        ...(end.usage === undefined ? {} : { usage: end.usage }),
      });
    },
  };
}

export function createWork(row: RunRow, stream: RunStream): RunWork {
  return {
    row,
    eventKey: row.request.clientSessionKey ?? row.sessionKey,
    stream,
    messages: [],
    entries: [{ role: 'user', content: [{ type: 'text', text: row.request.message }], timestamp: row.acceptedAt, runId: row.runId }],
    pendingCalls: [],
    finalText: '',
    startedAt: undefined,
    model: undefined,
    usage: { input: 0, output: 0 },
    doing: 'it was prepared',
  };
}
