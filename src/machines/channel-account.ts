/**
 * Keeps one channel account online. Owns the life of the link and what its end means; the transport behind it is the `link`
 * actor. The same chart for every channel. A lost link is an ordinary transition and no crash.
 *
 *   active { connecting ──link.opened──▶ online } ──closed: lost──▶ backingOff ──retryDelay──▶ active
 *      │                                    ├─closed: conflict──▶ conflict ──conflictDelay──▶ active
 *      │                                    ├─closed: refused───▶ unlinked (no retry can mend it)
 *      │                                    └─link crashed──────▶ broken (throws: the supervisor begins anew)
 *      └──gateway.drain──▶ stopping ──link.ended | stopLimit──▶ stopped
 */
import { assign, enqueueActions, type ErrorActorEvent, setup } from 'xstate';
import type { Env } from './child-spec.ts';
import { notProvided } from './not-provided.ts';

export interface AccountPolicy {
  firstDelayMs: number;
  maxDelayMs: number;
  factor: number;
  jitter: number;
  /** Attempts before `degraded`; 0: no limit. */
  maxAttempts: number;
  conflictMs: number;
  connectMs: number;
  stopMs: number;
  degradedMs: number;
  /** Attempts are forgotten after this long online. */
  steadyMs: number;
}

export const telegramPolicy: AccountPolicy = {
  firstDelayMs: 2_000,
  maxDelayMs: 30_000,
  factor: 1.8,
  jitter: 0.25,
  maxAttempts: 0,
  // The other poller's request may be held for 30 s; trying sooner only ends it and starts the quarrel again.
  conflictMs: 35_000,
  connectMs: 60_000,
  stopMs: 1_800,
  degradedMs: 300_000,
  steadyMs: 60_000,
};

export type ChannelAccountEvent =
  | { type: 'link.opened'; identity: { id: string; name?: string } }
  | { type: 'link.active' }
  | { type: 'link.closed'; reason: 'lost' | 'conflict' | 'refused'; detail: string; retryAfterMs?: number }
  | { type: 'link.ended' }
  | { type: 'channel.kick' }
  | { type: 'gateway.drain' };

export interface ChannelAccountInput {
  env: Env;
  channel: string;
  accountId: string;
  enabled: boolean;
  configured: boolean;
  policy: AccountPolicy;
  /** Told after each change of state; a function, so that the status has one owner. */
  onChange(status: AccountSnapshot): void;
}

export interface AccountSnapshot {
  state: string;
  attempt: number;
  since: number;
  epoch: number;
  lastError?: string;
  identity?: { id: string; name?: string };
  lastTransportAt?: number;
}

interface Context extends ChannelAccountInput {
  /** Grows with each connection; what is stamped with an older one is ignored. */
  epoch: number;
  attempt: number;
  since: number;
  lastError: string | undefined;
  identity: { id: string; name?: string } | undefined;
  retryAfterMs: number | undefined;
  lastTransportAt: number | undefined;
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error)).slice(0, 200);

/** b + b × jitter × random, at most the largest delay (lifecycle 13.4). */
export function accountDelay(attempt: number, policy: AccountPolicy, random: () => number): number {
  const base = policy.firstDelayMs * policy.factor ** Math.min(Math.max(0, attempt - 1), 40);
  return Math.min(policy.maxDelayMs, Math.round(base + base * policy.jitter * random()));
}

export const channelAccount = setup({
  types: { input: {} as ChannelAccountInput, context: {} as Context, events: {} as ChannelAccountEvent, tags: {} as 'sending' },
  actors: { link: notProvided<{ channel: string; accountId: string; epoch: number }>('link') },
  guards: {
    isDisabled: ({ context }) => !context.enabled,
    isUnconfigured: ({ context }) => !context.configured,
    isConflict: ({ event }) => event.type === 'link.closed' && event.reason === 'conflict',
    isRefused: ({ event }) => event.type === 'link.closed' && event.reason === 'refused',
    isExhausted: ({ context }) => context.policy.maxAttempts > 0 && context.attempt >= context.policy.maxAttempts,
  },
  delays: {
    connectLimit: ({ context }) => context.policy.connectMs,
    retryDelay: ({ context }) => context.retryAfterMs ?? accountDelay(context.attempt, context.policy, context.env.random),
    conflictDelay: ({ context }) => context.policy.conflictMs,
    degradedDelay: ({ context }) => context.policy.degradedMs,
    steadyPeriod: ({ context }) => context.policy.steadyMs,
    stopLimit: ({ context }) => context.policy.stopMs,
  },
  actions: {
    nextEpoch: assign({ epoch: ({ context }) => context.epoch + 1, retryAfterMs: undefined }),
    countAttempt: assign({ attempt: ({ context }) => context.attempt + 1 }),
    forgetAttempts: assign({ attempt: 0 }),
    noteIdentity: assign(({ context, event }) => ({
      identity: (event as { identity: { id: string; name?: string } }).identity,
      lastError: undefined,
      lastTransportAt: context.env.now(),
    })),
    noteActive: assign({ lastTransportAt: ({ context }) => context.env.now() }),
    noteCrash: assign({ lastError: ({ event }) => messageOf((event as unknown as ErrorActorEvent).error) }),
    /** The supervisor has to hear of a bug as a failure, and starts this account afresh. */
    giveUp({ context }) {
      throw new Error(`the link of ${context.channel}:${context.accountId} crashed: ${context.lastError ?? 'unknown'}`);
    },
    noteClosed: assign(({ event }) => {
      const { detail, retryAfterMs } = event as { detail: string; retryAfterMs?: number };
      return { lastError: detail, retryAfterMs };
    }),
    noteTimeout: assign({ lastError: 'the transport did not open in time' }),
    noteSince: assign({ since: ({ context }) => context.env.now() }),
    /** `as` is the name the outside knows this state by. */
    tell: ({ context }, params: { as: string }) => {
      const { epoch, attempt, since, lastError, identity, lastTransportAt } = context;
      context.onChange({
        state: params.as,
        attempt,
        since,
        epoch,
        ...(lastError === undefined ? {} : { lastError }),
        ...(identity === undefined ? {} : { identity }),
        ...(lastTransportAt === undefined ? {} : { lastTransportAt }),
      });
    },
    askLink: enqueueActions(({ enqueue, self }) => {
      if ((self.getSnapshot().children as Record<string, unknown>)['link'] === undefined) enqueue.raise({ type: 'link.ended' });
      else enqueue.sendTo('link', { type: 'link.stop' });
    }),
  },
}).createMachine({
  id: 'channelAccount',
  context: ({ input }) => ({
    ...input,
    epoch: 0,
    attempt: 0,
    since: input.env.now(),
    lastError: undefined,
    identity: undefined,
    retryAfterMs: undefined,
    lastTransportAt: undefined,
  }),
  initial: 'deciding',
  on: { 'gateway.drain': '.stopped' },
  states: {
    deciding: {
      always: [{ guard: 'isDisabled', target: 'disabled' }, { guard: 'isUnconfigured', target: 'unconfigured' }, { target: 'linked' }],
    },
    disabled: { entry: ['noteSince', { type: 'tell', params: { as: 'disabled' } }] },
    unconfigured: { entry: ['noteSince', { type: 'tell', params: { as: 'unconfigured' } }] },
    /** The link lives here, also while it is asked to stop: it has to say that its transport is closed. */
    linked: {
      entry: 'nextEpoch',
      invoke: {
        id: 'link',
        src: 'link',
        input: ({ context }) => ({ channel: context.channel, accountId: context.accountId, epoch: context.epoch }),
        onError: { target: 'broken', actions: 'noteCrash' },
      },
      initial: 'connecting',
      on: {
        'link.closed': [
          { guard: 'isRefused', target: 'unlinked', actions: 'noteClosed' },
          { guard: 'isConflict', target: 'conflict', actions: 'noteClosed' },
          { guard: 'isExhausted', target: 'degraded', actions: 'noteClosed' },
          { target: 'backingOff', actions: ['noteClosed', 'countAttempt'] },
        ],
        'gateway.drain': '.stopping',
      },
      states: {
        connecting: {
          entry: ['noteSince', { type: 'tell', params: { as: 'connecting' } }],
          on: { 'link.opened': { target: 'online', actions: 'noteIdentity' } },
          after: { connectLimit: { target: '#channelAccount.backingOff', actions: ['noteTimeout', 'countAttempt'] } },
        },
        online: {
          tags: 'sending',
          entry: ['noteSince', { type: 'tell', params: { as: 'online' } }],
          on: { 'link.active': { actions: ['noteActive', { type: 'tell', params: { as: 'online' } }] } },
          // Not on entry: a link that flaps every second has to keep backing off.
          after: { steadyPeriod: { actions: 'forgetAttempts' } },
        },
        stopping: {
          entry: ['noteSince', { type: 'tell', params: { as: 'stopping' } }, 'askLink'],
          on: {
            'link.ended': '#channelAccount.stopped',
            'link.closed': '#channelAccount.stopped',
            'gateway.drain': {},
          },
          after: { stopLimit: '#channelAccount.stopped' },
        },
      },
    },
    backingOff: {
      entry: ['noteSince', { type: 'tell', params: { as: 'backingOff' } }],
      on: { 'channel.kick': 'linked' },
      after: { retryDelay: 'linked' },
    },
    conflict: {
      entry: ['noteSince', { type: 'tell', params: { as: 'conflict' } }],
      on: { 'channel.kick': 'linked' },
      after: { conflictDelay: 'linked' },
    },
    unlinked: { entry: ['noteSince', { type: 'tell', params: { as: 'unlinked' } }] },
    degraded: {
      entry: ['noteSince', { type: 'tell', params: { as: 'degraded' } }],
      on: { 'channel.kick': 'linked' },
      after: { degradedDelay: { target: 'linked', actions: 'forgetAttempts' } },
    },
    /** A bug, and no outage. Whoever sends through this account is told before it is gone. */
    broken: { entry: ['noteSince', { type: 'tell', params: { as: 'backingOff' } }, 'giveUp'] },
    stopped: { type: 'final', entry: ['noteSince', { type: 'tell', params: { as: 'stopped' } }] },
  },
  options: { maxIterations: 1000 },
});
