import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { repository } from '../support/gateway.ts';
import { createRandom, drained, judge, type Life, live, type Said } from '../support/kill.ts';
import { startTelegramWorld, stored, type TelegramWorld } from '../support/telegram-gateway.ts';

/** Every place between the arrival of a message and the confirmation of its answer. */
const points = [
  'account.connect',
  'ingress.received',
  'ingress.journalled',
  'ingress.acked',
  'run.started',
  'run.model',
  'run.tool',
  'run.final',
  'outbox.inserted',
  'run.done',
  'outbox.claimed',
  'outbox.sent',
  'outbox.confirmed',
  'store.write',
  'store.committed',
];

const worlds: TelegramWorld[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});
const seed = Number(process.env['OPENCLAW_KILL_SEED'] ?? 20_261_125);

it('every fail point of the way of a message is killed at', () => {
  const src = join(repository, 'src');
  const found = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) =>
      [...readFileSync(join(src, name), 'utf8').matchAll(/failPoint(?:Async)?\('([^']+)'\)/g)].map((match) => match[1] as string),
    )
    .filter((name) => /^(account|ingress|run|outbox|store)\./.test(name));
  expect([...new Set(found)].sort()).toEqual([...points, 'account.stop'].sort());
});

it('F-04 loses nothing, doubles nothing and keeps the order of each chat, killed at every fail point and at random', async () => {
  const random = createRandom(seed);
  const world = await startTelegramWorld({
    script: { '(tool result)': [{ text: 'it is done' }], tool: [{ toolCall: { name: 'time', arguments: {} } }] },
  });
  worlds.push(world);
  const { bot } = world;
  const { home } = world.gateway;
  await world.gateway.kill();
  const chats = Array.from({ length: 12 }, () => bot.person());
  const said: Said[] = [];
  let tools = 0;
  const speak = (isTool = false) => {
    // A chat that has said much waits for its rate; the others are the better witnesses.
    const fewest = Math.min(...chats.map((chat) => chat.history().filter(({ from }) => from === 'person').length));
    const chat = random.pick(chats.filter((one) => one.history().filter(({ from }) => from === 'person').length === fewest));
    if (isTool) {
      tools += 1;
      return bot.person({ first_name: `Tool ${tools}` }).say('tool');
    }
    const text = `message ${said.length + 1}`;
    said.push({ chat, text });
    chat.say(text);
    return undefined;
  };

  const lives: Life[] = [
    ...points.map((point) => ({ point, count: point.startsWith('store.') ? random.between(4, 9) : 1, ms: 6_000 })),
    { point: 'account.stop', ms: 6_000, polite: true },
    ...Array.from({ length: 9 }, () => ({ ms: random.between(150, 700) })),
  ];
  const missed: string[] = [];
  for (const life of lives) {
    const isHit = await live(home, life, {}, () => {
      for (let index = random.between(1, 2); index > 0; index -= 1) speak();
      if (life.point === 'run.tool') speak(true);
    });
    if (life.point !== undefined && !isHit) missed.push(life.point);
  }
  expect(missed, `seed ${seed}: fail points nobody came by`).toEqual([]);

  const gateway = await world.restart();
  await drained(gateway, world);
  await gateway.stop();
  // The tool's own chat is judged by the store alone.
  const verdict = judge(gateway, world, said, (text) => `you said: ${text}`);
  const problems = verdict.problems.filter((problem) => !/^\d+ messages, \d+ (journal rows|runs)$/.test(problem));
  expect(problems, `seed ${seed}`).toEqual([]);
  expect(stored(gateway, 'SELECT * FROM journal')).toHaveLength(said.length + tools);
  expect(stored(gateway, 'SELECT * FROM runs')).toHaveLength(said.length + tools);
  expect(verdict.answered + verdict.unknown + verdict.interrupted, `seed ${seed}`).toBe(said.length);
  // A kill costs the message it hits, and no other.
  expect(verdict.answered, `seed ${seed}`).toBeGreaterThan(said.length / 2);
}, 90_000);
