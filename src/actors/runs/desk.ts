/**
 * Where runs come in and where their end is waited for. Owns the acceptance (on disk before anybody is told), the waiting
 * callers, the recovery after a kill, and the parking before a restart. The runs themselves belong to their conversations.
 *   takes     runs.park · runs.unpark · runs.end (from the root)
 *   reports   child.up; to the root: runs.idle · runs.ended
 */
import type { AnyActorRef } from 'xstate';
import type { ChildSpec, Env, SupervisorSpec } from '../../machines/child-spec.ts';
import { agentRun } from '../../machines/agent-run.ts';
import { type AbortReason, conversation, type RunTicket } from '../../machines/conversation.ts';
import { supervisor } from '../../machines/supervisor.ts';
import type { RunOutcome, SubmittedRun } from '../../protocol/context.ts';
import { unavailable } from '../../protocol/errors.ts';
import { fromIo } from '../io.ts';
import type { ConversationRow, HistoryInput, RunInput, RunRow, StorePort } from '../store/contract.ts';
import { abandon, delivery } from './delivery.ts';
import { createLanes, type LaneWidths, type Lanes } from './lanes.ts';
import type { Model, Tool } from './models/contract.ts';
import { laneSlot, modelStep, prepare, tools } from './run-actors.ts';
import { createRunStream, createWork, type RunWork } from './work.ts';
import type { EventName } from '../../protocol/events.ts';

export interface DeskPorts {
  env: Env;
  store(): StorePort;
  broadcast(event: EventName, payload: unknown, options?: { droppable?: boolean }): void;
  wakeOutbox(lane: string): void;
  /** Splits a text the way the channel needs it. */
  chunk(channel: string, text: string): string[];
  modelFor(run: RunRow): Promise<Model>;
  tools: Tool[];
  settings: { widths: LaneWidths; timeoutMs: number; stallMs: number; maxSteps: number; resumeMs: number; showTools: boolean };
  root: { send(event: { type: string }): void };
  offer(port: RunsPort): () => void;
  log: { info(data: object, message: string): void; warn(data: object, message: string): void };
}

export interface RunsPort {
  submit(input: RunInput): Promise<SubmittedRun>;
  /** Accepts and begins at once, for callers that wait for nothing. */
  accept(input: RunInput): Promise<void>;
  wait(runId: string, timeoutMs: number): Promise<Record<string, unknown>>;
  abort(sessionKey: string, runId: string | undefined, by: AbortReason): string[];
  sessionKeyOf(runId: string): string | undefined;
  isActive(runId: string): boolean;
  readonly active: number;
  readonly waiting: number;
  /** Conversations used last, newest first, and how many there are. */
  recent(): { count: number; rows: ConversationRow[] };
}

/** What the actors of a run share. */
export interface RunScope extends Pick<DeskPorts, 'store' | 'wakeOutbox' | 'chunk' | 'modelFor' | 'tools'> {
  lanes: Lanes;
  workOf(runId: string): RunWork;
  findWork(runId: string): RunWork | undefined;
  now(): number;
  settled(runId: string, outcome: RunOutcome): void;
  touch(run: RunRow): void;
}

interface LiveRun {
  work: RunWork;
  begun: boolean;
  ended: Promise<RunOutcome>;
  settle(outcome: RunOutcome): void;
}

const shardCount = 16;
/** A timer that is longer fires at once. */
const longestTimerMs = 2 ** 31 - 1;
const maxLive = 10_000;
const maxRecent = 50;

export function conversationsSpec(ports: DeskPorts): SupervisorSpec {
  const { env, settings } = ports;
  const live = new Map<string, LiveRun>();
  const accepting = new Map<string, Promise<SubmittedRun>>();
  const recent = new Map<string, ConversationRow>();
  let count = 0;
  let onSettled: () => void = () => {};

  const scope: RunScope = {
    ...ports,
    lanes: createLanes(settings.widths),
    now: env.now,
    workOf(runId) {
      const entry = live.get(runId);
      if (entry === undefined) throw new Error(`run ${runId} is not live`);
      return entry.work;
    },
    findWork: (runId) => live.get(runId)?.work,
    settled(runId, outcome) {
      const entry = live.get(runId);
      live.delete(runId);
      entry?.settle(outcome);
      onSettled();
    },
    touch(run) {
      const { sessionKey, sessionId, agentId, endedAt = env.now() } = run;
      const known = recent.get(sessionKey);
      recent.delete(sessionKey);
      recent.set(sessionKey, {
        sessionKey,
        sessionId,
        agentId,
        createdAt: known?.createdAt ?? endedAt,
        updatedAt: endedAt,
        entry: known?.entry ?? {},
      });
      for (const oldest of recent.keys()) {
        if (recent.size <= maxRecent) break;
        recent.delete(oldest);
      }
    },
  };

  const run = agentRun.provide({
    actors: { laneSlot: laneSlot(scope), prepare: prepare(scope), modelStep: modelStep(scope), tools: tools(scope) },
  });
  const logic = conversation.provide({
    actors: { run, delivery: delivery(scope) },
    actions: { abandon: (_, { runId }) => abandon(scope, runId) },
  });

  const desk = fromIo<unknown>(({ self, receive, report, signal, run: own }) => {
    const { system } = self;
    const parent = (self as unknown as { _parent: AnyActorRef })._parent;
    let isParked = false;
    let reportIdle = false;
    let reportEnded = false;

    const ticketOf = ({ runId, lane, request }: RunRow, resumed: boolean): RunTicket => ({
      runId,
      lane,
      resumed,
      timeoutMs: Math.min(request.timeoutMs ?? settings.timeoutMs, longestTimerMs),
      stallMs: settings.stallMs,
      maxSteps: settings.maxSteps,
    });

    function shardFor(sessionKey: string): AnyActorRef | undefined {
      const id = `shard:${hash(sessionKey) % shardCount}`;
      const systemId = `conversations/${id}`;
      if (system.get(systemId) === undefined) parent.send({ type: 'child.add', spec: shardSpec(id, systemId, env) });
      return system.get(systemId);
    }

    const conversationOf = (sessionKey: string): AnyActorRef | undefined => system.get(`conversations/${sessionKey}`);

    /** Hands a run to its conversation, which is made when it has none. */
    function begin(row: RunRow, resumed = false) {
      if (!isParked) handOver(row, resumed);
    }

    function handOver(row: RunRow, resumed = false) {
      const entry = live.get(row.runId);
      if (entry === undefined || entry.begun) return;
      entry.begun = true;
      const ticket = ticketOf(row, resumed);
      const existing = conversationOf(row.sessionKey);
      if (existing) return existing.send({ type: 'run.submitted', ticket });
      shardFor(row.sessionKey)?.send({
        type: 'child.add',
        spec: {
          id: conversationId(row.sessionKey),
          systemId: `conversations/${row.sessionKey}`,
          logic,
          input: { sessionKey: row.sessionKey, parked: isParked, first: ticket },
          restart: 'temporary',
          shutdownMs: 1_000,
        } satisfies ChildSpec,
      });
    }

    function track(row: RunRow): LiveRun {
      const known = live.get(row.runId);
      if (known) return known;
      const stream = createRunStream({
        runId: row.runId,
        sessionKey: row.request.clientSessionKey ?? row.sessionKey,
        showTools: settings.showTools,
        broadcast: ports.broadcast,
        now: env.now,
      });
      const { promise, resolve } = Promise.withResolvers<RunOutcome>();
      const entry: LiveRun = { work: createWork(row, stream), begun: false, ended: promise, settle: resolve };
      live.set(row.runId, entry);
      return entry;
    }

    async function accept(input: RunInput): Promise<SubmittedRun> {
      const { run: row, created } = await ports.store().call('runs.accept', { run: input });
      if (created) {
        const known = recent.has(row.sessionKey);
        if (!known) count += 1;
        scope.touch(row);
      }
      if (row.final !== undefined) {
        const outcome = row.final as RunOutcome;
        return { runId: row.runId, acceptedAt: row.acceptedAt, created: false, outcome, ended: Promise.resolve(outcome), begin: () => {} };
      }
      const entry = track(row);
      return { runId: row.runId, acceptedAt: row.acceptedAt, created, ended: entry.ended, begin: () => begin(row) };
    }

    const port: RunsPort = {
      submit(input) {
        const entry = live.get(input.runId);
        if (entry) {
          const { runId, acceptedAt } = entry.work.row;
          return Promise.resolve({ runId, acceptedAt, created: false, ended: entry.ended, begin: () => begin(entry.work.row) });
        }
        if (live.size >= maxLive) return Promise.reject(unavailable('too many runs are waiting', 5_000));
        // Two callers with one key at the same moment: the second waits for the first and makes no second run.
        const first = accepting.get(input.runId);
        if (first) return first.then((submitted) => ({ ...submitted, created: false }));
        const pending = accept(input).finally(() => accepting.delete(input.runId));
        accepting.set(input.runId, pending);
        return pending;
      },
      async accept(input) {
        (await port.submit(input)).begin();
      },
      async wait(runId, timeoutMs) {
        const row = async () => (await ports.store().call('runs.get', { runId })).run;
        const stored = live.has(runId) ? undefined : (await row())?.final;
        const ended = live.get(runId)?.ended ?? (stored === undefined ? undefined : Promise.resolve(stored as RunOutcome));
        const outcome = ended && (await within(ended, timeoutMs));
        if (outcome === undefined) return { runId, status: 'timeout' };
        const { startedAt, endedAt } = (await row()) ?? {};
        return {
          runId,
          status: outcome.ok ? 'ok' : 'error',
          ...(startedAt === undefined ? {} : { startedAt }),
          ...(endedAt === undefined ? {} : { endedAt }),
          ...(outcome.error === undefined ? {} : { error: outcome.error.message }),
        };
      },
      abort(sessionKey, runId, by) {
        const chosen = [...live.values()].filter(
          ({ work: { row } }) => row.sessionKey === sessionKey && (runId === undefined || row.runId === runId),
        );
        // What has not begun is handed over as well: its conversation ends it instead of starting it later.
        for (const { work } of chosen) handOver(work.row);
        if (chosen.length > 0) {
          conversationOf(sessionKey)?.send({ type: 'run.abort', by, ...(runId === undefined ? {} : { runId }) });
        }
        return chosen.map(({ work }) => work.row.runId);
      },
      sessionKeyOf: (runId) => live.get(runId)?.work.row.sessionKey,
      isActive: (runId) => live.has(runId),
      get active() {
        return [...live.values()].filter(({ work }) => work.startedAt !== undefined).length;
      },
      get waiting() {
        return scope.lanes.waiting;
      },
      recent: () => ({ count, rows: [...recent.values()].reverse() }),
    };

    /** The root waits for this, with its own deadline. */
    function checkIdle() {
      if (port.active > 0) return;
      if (reportIdle) ports.root.send({ type: 'runs.idle' });
      if (reportEnded) ports.root.send({ type: 'runs.ended' });
      reportIdle = false;
      reportEnded = false;
    }
    onSettled = checkIdle;

    function tellAll(event: { type: string; [more: string]: unknown }) {
      for (const sessionKey of new Set([...live.values()].map(({ work }) => work.row.sessionKey))) conversationOf(sessionKey)?.send(event);
    }

    receive((event) => {
      if (event.type === 'runs.park') {
        isParked = true;
        reportIdle = true;
        tellAll({ type: 'runs.park' });
        checkIdle();
      } else if (event.type === 'runs.unpark') {
        isParked = false;
        tellAll({ type: 'runs.unpark' });
        for (const { work } of live.values()) begin(work.row);
      } else if (event.type === 'runs.end') {
        isParked = true;
        reportEnded = true;
        tellAll({ type: 'run.abort', by: 'shutdown' });
        checkIdle();
      }
    });

    let withdraw: () => void = () => {};
    own(async () => {
      const store = ports.store();
      const { rows, count: total } = await store.call('conversations.list', { limit: maxRecent });
      count = total;
      for (const row of [...rows].reverse()) recent.set(row.sessionKey, row);
      const { runs } = await store.call('runs.open', {});
      if (signal.aborted) return;
      // First: a supervisor starts nobody's conversation while it waits for its desk.
      report({ type: 'child.up' });
      for (const row of runs) recover(row);
      // Last: whoever comes now stands behind what was accepted before.
      withdraw = ports.offer(port);
    });

    /** What was going on when the process ended (agent.md 4.6). */
    function recover(row: RunRow) {
      const entry = track(row);
      const isFresh = env.now() - row.acceptedAt < settings.resumeMs;
      const { progress } = row;
      if (row.state === 'queued' || (progress === undefined && isFresh && row.starts < 2)) return begin(row, row.state === 'active');
      ports.log.warn({ runId: row.runId, starts: row.starts }, 'run was interrupted and is not started again');
      own(async () => {
        const summary = 'interrupted: the gateway stopped while it was running';
        const outcome: RunOutcome = {
          ok: false,
          payload: { runId: row.runId, status: 'error', summary },
          error: { code: 'UNAVAILABLE', message: summary },
        };
        const text =
          progress === undefined
            ? 'I was interrupted while answering and did not start again. Please ask once more.'
            : 'I was interrupted in the middle of that, and a step that changes something may have been carried out. Shall I continue?';
        const outbox =
          row.address === undefined ? [] : [{ key: `run:${row.runId}:1`, address: row.address, kind: 'text' as const, payload: { text } }];
        const done = await ports.store().call('runs.finish', {
          runId: row.runId,
          state: 'interrupted',
          final: outcome,
          endedAt: env.now(),
          history: progress === undefined ? entry.work.entries : withUnknownResults(progress, row.runId, env.now()),
          outbox,
        });
        for (const { lane } of done.outbox) ports.wakeOutbox(lane);
        scope.settled(row.runId, outcome);
      });
    }

    return () => {
      withdraw();
      onSettled = () => {};
      live.clear();
    };
  });

  return {
    name: 'conversations',
    strategy: 'one_for_all',
    drain: 'together',
    intensity: { max: 5, withinMs: 60_000 },
    children: [{ id: 'desk', systemId: 'conversations', logic: desk, restart: 'permanent', shutdownMs: 0, startMs: 10_000 }],
  };
}

const shardSpec = (id: string, systemId: string, env: Env): ChildSpec => ({
  id,
  systemId,
  logic: supervisor,
  input: {
    spec: {
      name: id,
      strategy: 'one_for_one',
      drain: 'together',
      intensity: { max: 5, withinMs: 300_000 },
      children: [],
    } satisfies SupervisorSpec,
    env,
  },
  restart: 'permanent',
  shutdownMs: 1_000,
});

/** Dots would confuse XState's event wildcards, and `@` separates the epoch. */
const conversationId = (sessionKey: string) =>
  `conversation:${sessionKey.replaceAll('%', '%25').replaceAll('.', '%2E').replaceAll('@', '%40')}`;

function hash(text: string): number {
  let value = 0;
  for (let index = 0; index < text.length; index += 1) value = (Math.imul(value, 31) + text.charCodeAt(index)) >>> 0;
  return value;
}

/** Calls whose end nobody saw get a result that says so: the next turn must not take them for done or not done. */
function withUnknownResults(entries: HistoryInput[], runId: string, timestamp: number): HistoryInput[] {
  const answered = new Set(entries.map(({ toolCallId }) => toolCallId));
  const calls = entries.flatMap(({ content }) => content.filter(({ type, id }) => type === 'toolCall' && !answered.has(String(id))));
  return [
    ...entries,
    ...calls.map(({ id, name }) => ({
      role: 'toolResult' as const,
      content: [{ type: 'text', text: 'interrupted, outcome unknown' }],
      timestamp,
      toolCallId: String(id),
      toolName: String(name),
      isError: true,
      runId,
    })),
  ];
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1), undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
