/**
 * Lets a gateway die over and over while people go on writing to its bot: at a named fail point, or at a random moment.
 * Then it may live, work everything off, and the platform and the store say what became of each message.
 */
import { type Gateway, type GatewayOptions, startGateway } from './gateway.ts';
import { eventually, stored, type TelegramWorld } from './telegram-gateway.ts';
import type { FakeChat } from '../fakes/telegram-bot-api/index.ts';

/** A small generator, so that a seed in a failure message plays the same run again. */
export function createRandom(seed: number) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    between: (low: number, high: number) => low + Math.floor(next() * (high - low + 1)),
    pick: <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T,
  };
}

export type Random = ReturnType<typeof createRandom>;

export interface Life {
  /** Dies the n-th time it comes by here. Without it: after `ms`. */
  point?: string;
  count?: number;
  /** How long it may live when nothing else ends it. */
  ms: number;
  /** Asked to stop politely once it is online; the fail point is on the way out. */
  polite?: boolean;
}

/** One life of the gateway on its home, to its end. Answers whether the fail point ended it. */
export async function live(
  home: string,
  life: Life,
  options: GatewayOptions,
  meanwhile: (gateway: Gateway) => Promise<void> | void,
): Promise<boolean> {
  const points = life.point === undefined ? {} : { OPENCLAW_FAIL_POINTS: `${life.point}:${life.count ?? 1}:crash` };
  const gateway = await startGateway({
    ...options,
    home,
    // It may be dead before it is ready; nobody waits for that.
    failing: true,
    args: ['--port', '0'],
    env: { ...options.env, ...points },
  });
  let isOurs = false;
  const end = (signal: NodeJS.Signals) => {
    isOurs = signal === 'SIGKILL';
    gateway.signal(signal);
  };
  const timer = setTimeout(() => end('SIGKILL'), life.ms);
  if (life.polite === true)
    void gateway.printed(/Telegram online/).then(
      () => end('SIGTERM'),
      () => {},
    );
  try {
    await meanwhile(gateway);
  } catch (error) {
    // The test has failed, and leaves nobody behind.
    end('SIGKILL');
    throw error;
  } finally {
    await gateway.exited;
    clearTimeout(timer);
  }
  const { signal } = await gateway.exited;
  return signal === 'SIGKILL' && !isOurs;
}

/** Messages that were said, as the judge has to find them again. */
export interface Said {
  chat: FakeChat;
  text: string;
}

const interrupted = 'I was interrupted while answering';

/** Waits until nothing is on its way any more, and says what was when it takes too long. */
export async function drained(gateway: Gateway, world: TelegramWorld): Promise<void> {
  const open = () => ({
    pending: world.bot.pending(),
    journal: stored(gateway, `SELECT id, chat, state FROM journal WHERE state IN ('new', 'routed')`),
    runs: stored(gateway, `SELECT run_id, state, starts FROM runs WHERE final IS NULL`),
    outbox: stored(gateway, `SELECT key, state, attempts, next_at, last_error FROM outbox WHERE state IN ('queued', 'sending')`),
  });
  await eventually(() => Object.values(open()).every((rows) => rows.length === 0), 'the end of all work', 30_000).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(open())}\n${JSON.stringify(gateway.log().slice(-12))}`);
  });
}

export interface Verdict {
  answered: number;
  /** The call was cut after the request was read, and nobody saw the message: the person was told. */
  unknown: number;
  interrupted: number;
  problems: string[];
}

/** What became of each message, and everything that must not have happened. */
export function judge(gateway: Gateway, world: TelegramWorld, said: readonly Said[], answerTo: (text: string) => string): Verdict {
  const problems: string[] = [];
  const verdict: Verdict = { answered: 0, unknown: 0, interrupted: 0, problems };
  const journal = stored(gateway, 'SELECT * FROM journal');
  const runs = stored(gateway, 'SELECT * FROM runs');
  const outbox = stored(gateway, 'SELECT * FROM outbox ORDER BY id');
  if (world.bot.overlaps > 0) problems.push(`${world.bot.overlaps} overlapping getUpdates`);
  if (journal.length !== said.length) problems.push(`${said.length} messages, ${journal.length} journal rows`);
  for (const row of journal) if (!['handled', 'failed'].includes(row.state)) problems.push(`journal ${row['id']} is ${row.state}`);
  if (runs.length !== said.length) problems.push(`${said.length} messages, ${runs.length} runs`);
  for (const row of runs) {
    if (row['final'] === null) problems.push(`run ${row['run_id']} is ${row.state}`);
    // A run is given up only after it was started again.
    if (row.state !== 'done' && !(row.state === 'interrupted' && Number(row['starts']) === 2))
      problems.push(`run ${row['run_id']} is ${row.state} after ${row['starts']} starts`);
  }
  for (const row of outbox)
    if (!['sent', 'unknown'].includes(row.state)) problems.push(`outbox ${row['key']} is ${row.state}: ${row['last_error']}`);

  for (const { chat, text } of said) {
    const [entry] = journal.filter(
      (row) => row['chat'] === String(chat.id) && (JSON.parse(String(row['body'])) as { text: string }).text === text,
    );
    const run = runs.find((row) => row['run_id'] === entry?.['run_id']);
    const rows = outbox.filter((row) => String(row['key']).startsWith(`run:${run?.['run_id']}:`) && !String(row['key']).endsWith(':ask'));
    const questions = outbox.filter((row) => rows.some((answer) => row['key'] === `${answer['key']}:ask`));
    const seen = chat.answers().filter((answer) => answer === answerTo(text)).length;
    const name = `${chat.id} ${text}`;
    if (rows.length !== 1) problems.push(`${name}: ${rows.length} answers in the outbox`);
    if (seen > 1) problems.push(`${name}: answered ${seen} times`);
    const [answer] = rows;
    const expected = answer?.state === 'unknown' ? 1 : 0;
    if (questions.length !== expected) problems.push(`${name}: ${answer?.state}, and asked about ${questions.length} times`);
    if (run?.state === 'interrupted') verdict.interrupted += 1;
    else if (seen === 1) verdict.answered += 1;
    else if (answer?.state === 'unknown') verdict.unknown += 1;
    else problems.push(`${name}: ${answer?.state} and never seen`);
  }
  for (const chat of new Set(said.map((one) => one.chat))) {
    const wanted = said.filter((one) => one.chat === chat).map(({ text }) => answerTo(text));
    const order = chat.answers().filter((text) => wanted.includes(text));
    if (order.join() !== wanted.filter((text) => order.includes(text)).join())
      problems.push(`${chat.id}: out of order: ${order.join(', ')}`);
    const told = chat.answers().filter((text) => text.includes('/resend')).length;
    const asked = outbox.filter((row) => row['chat'] === String(chat.id) && String(row['key']).endsWith(':ask')).length;
    if (told > asked) problems.push(`${chat.id}: ${asked} questions, shown ${told} times`);
    const sorry = chat.answers().filter((text) => text.startsWith(interrupted)).length;
    const ended = runs.filter(
      (row) => row.state === 'interrupted' && (JSON.parse(String(row['address'])) as { chat: string }).chat === String(chat.id),
    );
    if (sorry > ended.length) problems.push(`${chat.id}: ${ended.length} interrupted, told ${sorry} times`);
  }
  return verdict;
}
