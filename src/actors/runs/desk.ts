/**
 * Where runs come in and where their end is waited for. Owns the acceptance (on disk before anybody is told), the waiting
 * callers, the recovery after a kill, and the parking before a restart. The runs themselves belong to their conversations.
 *   takes     runs.park · runs.unpark · runs.end (from the root)
 *   reports   child.up; to the root: runs.idle · runs.ended
 */
import type { AnyActorRef, SnapshotFrom } from 'xstate';
import type { ChildSpec, Env, SupervisorSpec } from '../../machines/child-spec.ts';
import { agentRun } from '../../machines/agent-run.ts';
import { type AbortReason, conversation, type Ending, type RunTicket } from '../../machines/conversation.ts';
import type { RunOutcome, SubmittedRun } from '../../protocol/context.ts';
import { unavailable } from '../../protocol/errors.ts';
import { fromIo } from '../io.ts';
import type { ConversationRow, RunInput, RunRow, StorePort } from '../store/contract.ts';
import { surely } from '../store/patience.ts';
import { deadlineOf } from './deadline.ts';
import { delivery, failure, settle, surrender } from './delivery.ts';
import { writeInterrupted } from './interruption.ts';
import { createLanes, type LaneWidths, type Lanes } from './lanes.ts';
import type { Model, Tool } from './models/contract.ts';
import { createRecent, maxRecent } from './recent.ts';
import { laneSlot, modelStep, prepare, registration, tools } from './run-actors.ts';
import { conversationId, shardOf, shardSpec } from './shards.ts';
import { within } from './within.ts';
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
  /** Whether it is the main conversation of that agent. */
  isMain(sessionKey: string, agentId: string): boolean;
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
  /** Answers which runs end because of it: those that were asked for before, also when they are not on disk yet. */
  abort(sessionKey: string, runId: string | undefined, by: AbortReason): Promise<string[]>;
  sessionKeyOf(runId: string): string | undefined;
  isActive(runId: string): boolean;
  readonly active: number;
  readonly waiting: number;
  /** Conversations used last, newest first, and how many there are. */
  recent(): { count: number; rows: ConversationRow[] };
}

/** What the actors of a run share. */
export interface RunScope extends Pick<DeskPorts, 'store' | 'wakeOutbox' | 'chunk' | 'modelFor' | 'tools' | 'isMain' | 'settings'> {
  lanes: Lanes;
  workOf(runId: string): RunWork;
  now(): number;
  settled(runId: string, outcome: RunOutcome): void;
  touch(run: RunRow): void;
  /** The conversation is gone, whatever ended it. */
  left(sessionKey: string): void;
}

interface LiveRun {
  work: RunWork;
  /** Accepted and not told to begin; told to begin while nobody may; with its conversation, or past needing one. */
  phase: 'accepted' | 'parked' | 'begun';
  /** Aborted before it was told to begin. */
  abortedBy: AbortReason | undefined;
  /** How often a conversation was lost before this run began in it. */
  losses: number;
  ended: Promise<RunOutcome>;
  settle(outcome: RunOutcome): void;
}

type Waiters = Pick<LiveRun, 'ended' | 'settle'>;

const maxLive = 10_000;
const maxLosses = 2;

export function conversationsSpec(ports: DeskPorts): SupervisorSpec {
  const { env, settings } = ports;
  const live = new Map<string, LiveRun>();
  const accepting = new Map<string, { sessionKey: string; submitted: Promise<SubmittedRun> }>();
  /** Who waits for runs of a desk that crashed: its successor takes the runs up, and these with them. */
  const inherited = new Map<string, Waiters>();
  const recent = createRecent(env.now);
  let onSettled: () => void = () => {};
  let onLeft: (sessionKey: string) => void = () => {};

  const scope: RunScope = {
    ...ports,
    lanes: createLanes(settings.widths),
    now: env.now,
    workOf(runId) {
      const entry = live.get(runId);
      if (entry === undefined) throw new Error(`run ${runId} is not live`);
      return entry.work;
    },
    settled(runId, outcome) {
      const entry = live.get(runId);
      live.delete(runId);
      entry?.settle(outcome);
      onSettled();
    },
    left: (sessionKey) => onLeft(sessionKey),
    touch: recent.touch,
  };

  const run = agentRun.provide({
    actors: { laneSlot: laneSlot(scope), prepare: prepare(scope), modelStep: modelStep(scope), tools: tools(scope) },
  });
  const logic = conversation.provide({ actors: { run, delivery: delivery(scope), registration: registration(scope) } });

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
      timeoutMs: deadlineOf(request.timeoutMs, settings.timeoutMs),
      stallMs: deadlineOf(undefined, settings.stallMs),
      maxSteps: settings.maxSteps,
    });

    function shardFor(sessionKey: string): AnyActorRef | undefined {
      const id = shardOf(sessionKey);
      const systemId = `conversations/${id}`;
      if (system.get(systemId) === undefined) parent.send({ type: 'child.add', spec: shardSpec(id, systemId, env) });
      return system.get(systemId);
    }

    const conversationOf = (sessionKey: string): AnyActorRef | undefined => system.get(`conversations/${sessionKey}`);

    /** The run whose end is being written down: it is over, and nobody can abort it any more. */
    function endingIn(sessionKey: string): string | undefined {
      const { value, context } = (conversationOf(sessionKey)?.getSnapshot() ?? {}) as Partial<SnapshotFrom<typeof conversation>>;
      return value === 'delivering' ? context?.queue[0]?.runId : undefined;
    }

    /** Hands a run to its conversation, which is made when it has none. */
    function begin(row: RunRow, resumed = false) {
      const entry = live.get(row.runId);
      if (entry === undefined || entry.phase === 'begun') return;
      if (entry.abortedBy !== undefined) return endUnbegun(entry, { state: 'aborted', by: entry.abortedBy });
      if (isParked) {
        entry.phase = 'parked';
        return;
      }
      entry.phase = 'begun';
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

    /** Ends a run that no conversation ever had. */
    function endUnbegun(entry: LiveRun, ending: Ending) {
      entry.phase = 'begun';
      own(() => settle(scope, entry.work, ending).catch(() => surrender(scope, entry.work)));
    }

    /** Runs whose conversation crashed: those that had not begun get another one, the one in progress is given up. */
    onLeft = (sessionKey) => {
      if (signal.aborted) return;
      for (const entry of live.values()) {
        if (entry.phase !== 'begun' || entry.work.row.sessionKey !== sessionKey) continue;
        entry.losses += 1;
        if (entry.work.startedAt !== undefined || entry.losses > maxLosses) surrender(scope, entry.work);
        else {
          entry.phase = 'accepted';
          // Not now: its supervisor is still cleaning up.
          setImmediate(() => begin(entry.work.row));
        }
      }
    };

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
      const waiters = inherited.get(row.runId) ?? { ended: promise, settle: resolve };
      inherited.delete(row.runId);
      const entry: LiveRun = { work: createWork(row, stream), phase: 'accepted', abortedBy: undefined, losses: 0, ...waiters };
      live.set(row.runId, entry);
      return entry;
    }

    async function accept(input: RunInput): Promise<SubmittedRun> {
      const { run: row, created, opened } = await ports.store().call('runs.accept', { run: input });
      if (opened) recent.opened();
      if (created) recent.touch(row);
      if (row.final !== undefined) {
        const outcome = row.final as RunOutcome;
        return { runId: row.runId, acceptedAt: row.acceptedAt, created: false, outcome, ended: Promise.resolve(outcome), begin: () => {} };
      }
      const entry = track(row);
      // A run whose end could not be written down, asked for again.
      if (!created && !mayRestart(row)) interrupt(entry);
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
        if (first) return first.submitted.then((submitted) => ({ ...submitted, created: false }));
        const submitted = accept(input).finally(() => accepting.delete(input.runId));
        accepting.set(input.runId, { sessionKey: input.sessionKey, submitted });
        return submitted;
      },
      async accept(input) {
        (await port.submit(input)).begin();
      },
      async wait(runId, timeoutMs) {
        // Asked for a moment ago and not on disk yet: known all the same.
        await accepting.get(runId)?.submitted.catch(() => {});
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
      async abort(sessionKey, runId, by) {
        const isMeant = (key: string, id: string) => key === sessionKey && (runId === undefined || id === runId);
        // Asked for first and stopped second: what is on its way to the disk is stopped as well.
        const onTheirWay = [...accepting].filter(([id, one]) => isMeant(one.sessionKey, id)).map(([, { submitted }]) => submitted);
        if (onTheirWay.length > 0) await Promise.allSettled(onTheirWay);
        const ending = endingIn(sessionKey);
        const chosen = [...live.values()].filter(({ work: { row } }) => isMeant(row.sessionKey, row.runId) && row.runId !== ending);
        for (const entry of chosen) {
          if (entry.phase === 'accepted') entry.abortedBy = by;
          else if (entry.phase === 'parked') endUnbegun(entry, { state: 'aborted', by });
          else conversationOf(sessionKey)?.send({ type: 'run.abort', runId: entry.work.row.runId, by });
        }
        return chosen.map(({ work }) => work.row.runId);
      },
      sessionKeyOf: (runId) => live.get(runId)?.work.row.sessionKey ?? accepting.get(runId)?.sessionKey,
      isActive: (runId) => live.has(runId),
      get active() {
        return [...live.values()].filter(({ work }) => work.startedAt !== undefined).length;
      },
      get waiting() {
        return scope.lanes.waiting;
      },
      recent: recent.list,
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
      recent.begin(await store.call('conversations.list', { limit: maxRecent }));
      const { runs } = await store.call('runs.open', {});
      if (signal.aborted) return;
      // First: a supervisor starts nobody's conversation while it waits for its desk.
      report({ type: 'child.up' });
      for (const row of runs) recover(row);
      for (const [runId, waiters] of inherited) own(() => tellStored(runId, waiters));
      // Last: whoever comes now stands behind what was accepted before.
      withdraw = ports.offer(port);
    });

    /** Its end was written down and not told any more when the desk before this one crashed. */
    async function tellStored(runId: string, { settle: tell }: Waiters) {
      inherited.delete(runId);
      const { run: row } = await surely(() => ports.store().call('runs.get', { runId }));
      tell((row?.final as RunOutcome | undefined) ?? failure(runId, 'UNAVAILABLE', 'the run was lost'));
    }

    /** A run begins again once, soon, and only when nothing can happen twice because of it (agent.md 4.6). */
    const mayRestart = (row: RunRow) =>
      row.state === 'queued' || (row.noted === undefined && row.starts < 2 && env.now() - row.acceptedAt < settings.resumeMs);

    /** What was going on when the process ended. */
    function recover(row: RunRow) {
      const entry = track(row);
      if (mayRestart(row)) begin(row, row.state === 'active');
      else interrupt(entry);
    }

    function interrupt(entry: LiveRun) {
      const { runId, starts, noted } = entry.work.row;
      ports.log.warn({ runId, starts, sideEffects: noted !== undefined }, 'run was interrupted and is not started again');
      entry.phase = 'begun';
      own(() => writeInterrupted(scope, entry.work).catch(() => surrender(scope, entry.work)));
    }

    return () => {
      withdraw();
      onSettled = () => {};
      onLeft = () => {};
      for (const [runId, { ended, settle: tell }] of live) inherited.set(runId, { ended, settle: tell });
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
