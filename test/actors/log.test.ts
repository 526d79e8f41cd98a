import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLog, type LogOptions } from '../../src/actors/log.ts';
import { temporaryHome } from '../support/gateway.ts';

let home: string;
let own: string | undefined;
beforeEach(() => {
  home = temporaryHome();
  own = process.env['TMPDIR'];
  process.env['TMPDIR'] = home;
});
afterEach(() => {
  if (own === undefined) delete process.env['TMPDIR'];
  else process.env['TMPDIR'] = own;
  rmSync(home, { recursive: true, force: true });
});

const open = (more: Partial<LogOptions> = {}) => createLog({ level: 'info', consoleLevel: 'silent', generation: () => 7, ...more });
const folder = () => join(home, 'openclaw');
const linesOf = (path: string) =>
  readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

it('L-054 JSON lines; at midnight a new file is used, and one older than 24 h is gone', () => {
  let now = new Date(2026, 0, 1, 23, 59, 59);
  const log = open({ now: () => now });
  log.child('gateway').info({ code: 'x' }, 'before');
  log.flush();
  const old = join(folder(), 'openclaw-2025-12-30.log');
  writeFileSync(old, '{}\n');
  utimesSync(old, new Date(2025, 11, 30), new Date(2025, 11, 30));
  now = new Date(2026, 0, 2, 0, 0, 1);
  log.child('gateway').warn({}, 'after');
  log.close();
  expect(readdirSync(folder()).sort()).toEqual(['openclaw-2026-01-01.log', 'openclaw-2026-01-02.log']);
  expect(linesOf(join(folder(), 'openclaw-2026-01-01.log'))).toMatchObject([
    {
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d$/),
      level: 'info',
      subsystem: 'gateway',
      message: 'before',
      code: 'x',
      generation: 7,
      pid: process.pid,
    },
  ]);
  expect(linesOf(join(folder(), 'openclaw-2026-01-02.log'))).toMatchObject([{ level: 'warn', message: 'after' }]);
});

it('puts a file aside that has grown too large, and counts what lies before it', () => {
  const log = open({ maxFileBytes: 500 });
  for (let count = 0; count < 10; count += 1) {
    log.info({ count }, 'a line of some length, so that the file is full soon');
    log.flush();
  }
  const { file, before } = log.place();
  log.close();
  expect(existsSync(`${file}.1`)).toBe(true);
  expect(before).toBeGreaterThan(500);
  expect(linesOf(file).at(-1)).toMatchObject({ count: 9 });
});

it('has a file of its own for each profile', () => {
  const log = open({ profile: 'rescue' });
  expect(log.file()).toMatch(/openclaw-rescue-\d{4}-\d\d-\d\d\.log$/);
  log.close();
});

it('takes another folder when the first could be a trap', () => {
  mkdirSync(folder(), { mode: 0o777 });
  const log = open();
  expect(log.file()).toContain(`openclaw-${process.getuid?.()}`);
  log.close();
});

it.each(['/dev/full', '/dev/null/gateway.log'])('goes on without a file: %s', (file) => {
  const log = open({ file });
  for (let count = 0; count < 3; count += 1) {
    expect(() => log.info({}, 'nobody will read this')).not.toThrow();
    expect(() => log.flush()).not.toThrow();
  }
  expect(() => log.close()).not.toThrow();
});

it('masks what looks like a secret', () => {
  const log = open();
  log.info({ header: 'Bearer abcdefghijklmnop', key: 'sk-abcdefghijklmnop' }, 'token=abcdefghijkl');
  log.close();
  expect(readFileSync(log.file(), 'utf8')).not.toMatch(/abcdefghijkl/);
});
