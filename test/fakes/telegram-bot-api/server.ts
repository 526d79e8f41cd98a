/**
 * A Bot API server on loopback: real HTTP, several bots, the limits and the words of the platform. Keeps every call with
 * its times, counts overlapping `getUpdates`, and misbehaves as it is told. Texts only; it takes JSON and urlencoded bodies.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Answer, answerWith, createFaultBox, type Fault, isApplied, refusal } from './faults.ts';
import { methods } from './methods.ts';
import { type PersonSide, personSide } from './person.ts';
import type { BotState, Json, SeenCall } from './types.ts';
import { getUpdates } from './updates.ts';

export interface FakeBot extends PersonSide {
  readonly id: number;
  readonly token: string;
  /** Updates the bot has not confirmed yet. */
  pending(): number[];
  commands(): unknown[];
  /** How often two `getUpdates` of this bot were open at the same time. */
  readonly overlaps: number;
  /** Ends the request for updates that is held right now: with an answer of the test's own, or with none. False: there is none. */
  endPoll(answer: 'conflict' | 'cut' | { status: number; body: string }): boolean;
  /** The id the next update gets. */
  startUpdatesAt(id: number): void;
}

export interface FakeTelegram {
  readonly port: number;
  readonly url: string;
  readonly calls: SeenCall[];
  /** Calls of a method, oldest first. */
  callsOf(method: string, fits?: (params: Json) => boolean): SeenCall[];
  addBot(more?: { token?: string; username?: string; id?: number }): FakeBot;
  fault(fault: Fault): { lift(): void; readonly left: number };
  noFaults(): void;
  /** Resolves as soon as the condition holds; it is looked at after each call and each message. */
  until(condition: () => boolean, what?: string, ms?: number): Promise<void>;
  /** Stops listening and cuts all connections; what the platform knows stays. */
  goDown(): Promise<void>;
  comeBack(): Promise<void>;
  close(): Promise<void>;
}

export async function startTelegram({ port = 0 }: { port?: number } = {}): Promise<FakeTelegram> {
  const bots = new Map<string, BotState>();
  const calls: SeenCall[] = [];
  const faults = createFaultBox();
  const watchers = new Set<() => void>();
  const wakers = new Map<BotState, Set<() => void>>();
  let nextBot = 7_000_001;
  let bound = port;
  let server = listenable();

  function changed() {
    for (const check of watchers) check();
  }

  function listenable() {
    // Idle connections are kept: a client may use them again whenever it likes.
    return createServer({ keepAliveTimeout: 60_000 }, (request, response) => void serve(request, response));
  }

  async function listen() {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(bound, '127.0.0.1', resolve);
    });
    bound = (server.address() as AddressInfo).port;
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    const [, token = '', method = ''] = /^\/bot([^/]+)\/([^/]*)$/.exec(url.pathname) ?? [];
    const bot = bots.get(decodeURIComponent(token));
    const call: SeenCall = { seq: calls.length + 1, botId: bot?.me.id ?? 0, method, params: {}, at: Date.now() };
    calls.push(call);
    const end = (outcome: number | 'cut' | 'hungUp') => {
      if (call.outcome !== undefined) return;
      call.endedAt = Date.now();
      call.outcome = outcome;
      changed();
    };
    response.once('close', () => end('hungUp'));

    if (faults.take(method, call.botId, undefined)) {
      end('cut');
      request.socket.destroy();
      return;
    }
    const params = await readParams(request, url).catch(() => undefined);
    if (params === undefined) return end('hungUp');
    call.params = params;
    changed();
    const fault = bot && faults.take(method, call.botId, params);
    if (fault?.delayMs) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
    const real = fault === undefined || isApplied(fault) ? await perform(bot, method, params, response) : refusal(500, 'never seen');
    const answer = fault === undefined ? real : answerWith(fault, response, real);
    if (answer === 'cut') return end('cut');
    if (response.destroyed) return end('hungUp');
    end(answer.status);
    response.writeHead(answer.status, { 'content-type': answer.type ?? 'application/json' }).end(answer.body);
  }

  async function perform(bot: BotState | undefined, method: string, params: Json, response: ServerResponse): Promise<Answer> {
    if (bot === undefined) return refusal(401, 'Unauthorized');
    const name = method.toLowerCase();
    if (name === 'getupdates') {
      return getUpdates(bot, params, response, {
        onUpdate(wake) {
          wakers.get(bot)?.add(wake);
          return () => void wakers.get(bot)?.delete(wake);
        },
        confirmed: changed,
      });
    }
    const handle = methods[name];
    return handle === undefined ? refusal(404, 'Not Found: method not found') : handle(bot, params, Date.now());
  }

  function addBot({
    id = nextBot++,
    token = `${id}:AAtest-${String(id).repeat(4)}-abcdefghij`,
    username = `bot_${id}`,
  }: {
    token?: string;
    username?: string;
    id?: number;
  } = {}): FakeBot {
    const bot: BotState = {
      token,
      me: { id, is_bot: true, first_name: 'Bot', username, can_join_groups: true, can_read_all_group_messages: true },
      chats: new Map(),
      updates: [],
      nextUpdateId: 1,
      webhook: '',
      commands: [],
      poll: undefined,
      overlaps: 0,
      openPolls: 0,
    };
    bots.set(token, bot);
    wakers.set(bot, new Set());
    const onUpdate = () => {
      for (const wake of wakers.get(bot) ?? []) wake();
      changed();
    };
    return {
      id,
      token,
      pending: () => bot.updates.map(({ update_id: update }) => update),
      commands: () => bot.commands,
      get overlaps() {
        return bot.overlaps;
      },
      endPoll(answer) {
        const { poll } = bot;
        poll?.end(answer);
        return poll !== undefined;
      },
      startUpdatesAt(next) {
        bot.nextUpdateId = next;
      },
      ...personSide(bot, () => Date.now(), onUpdate),
    };
  }

  async function goDown() {
    const ended = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await ended;
  }

  await listen();
  return {
    get port() {
      return bound;
    },
    get url() {
      return `http://127.0.0.1:${bound}`;
    },
    calls,
    callsOf: (method, fits = () => true) => calls.filter((call) => call.method.toLowerCase() === method.toLowerCase() && fits(call.params)),
    addBot,
    fault: faults.add,
    noFaults: faults.clear,
    until(condition, what = 'the condition', ms = 15_000) {
      return new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          watchers.delete(check);
          const last = calls
            .slice(-12)
            .map(({ method, outcome, params }) => `${method} ${outcome} ${JSON.stringify(params).slice(0, 160)}`);
          reject(new Error(`${what} did not come true; the last calls:\n${last.join('\n')}`));
        }, ms);
        const check = () => {
          if (!condition()) return;
          clearTimeout(timer);
          watchers.delete(check);
          resolve();
        };
        watchers.add(check);
        check();
      });
    },
    goDown,
    async comeBack() {
      server = listenable();
      await listen();
    },
    async close() {
      faults.clear();
      if (server.listening) await goDown();
    },
  };
}

async function readParams(request: IncomingMessage, url: URL): Promise<Json> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks).toString();
  const query = Object.fromEntries(url.searchParams);
  const type = request.headers['content-type'] ?? '';
  if (body === '') return query;
  if (type.includes('application/json')) return { ...query, ...(JSON.parse(body) as Json) };
  return { ...query, ...Object.fromEntries(new URLSearchParams(body)) };
}
