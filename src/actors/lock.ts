/**
 * One gateway per state directory and per config file. The lock is held by the kernel for the life of the process (an open
 * SQLite transaction), so it vanishes with the process, whatever ends it; a file with a PID would have to be believed.
 */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { FatalError } from '../protocol/errors.ts';

/** For people only: never used to decide whether the holder lives. */
export interface HolderInfo {
  pid: number;
  startedAt: number;
  version: string;
  configPath: string;
  stateDir: string;
  port: number;
}

export interface InstanceLock {
  release(): void;
}

export interface LockRequest {
  stateDir: string;
  configPath: string;
  info: HolderInfo;
  profile?: string | undefined;
  waitMs?: number;
  retryMs?: number;
  signal?: AbortSignal;
}

export async function acquireLock(request: LockRequest): Promise<InstanceLock> {
  const { stateDir, configPath, profile, info, waitMs = 5_000, retryMs = 100, signal } = request;
  const held: { path: string; undo: () => void }[] = [];
  const release = () => {
    for (const { path, undo } of held.splice(0).reverse()) {
      rmSync(`${path}.json`, { force: true });
      undo();
    }
  };
  const until = Date.now() + waitMs;
  try {
    for (const path of [join(stateDir, 'gateway.lock'), ...configLock(stateDir, configPath)]) {
      let undo = tryLock(path);
      while (undo === undefined && Date.now() < until && signal?.aborted !== true) {
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        undo = tryLock(path);
      }
      if (undo === undefined) throw heldBy(path, profile);
      held.push({ path, undo });
      writeInfo(path, info);
    }
  } catch (error) {
    release();
    throw error;
  }
  return { release };
}

/** @returns a function that gives the lock back, or `undefined` while somebody else has it. */
function tryLock(path: string): (() => void) | undefined {
  let db: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    db = new DatabaseSync(path, { timeout: 0 });
    db.exec('BEGIN EXCLUSIVE');
    const own = db;
    return () => own.close();
  } catch (error) {
    db?.close();
    const { errcode } = error as { errcode?: number };
    // SQLITE_BUSY and SQLITE_LOCKED: held. Everything else cannot be waited away.
    if (errcode === 5 || errcode === 6) return undefined;
    throw unwritable(path, error);
  }
}

const unwritable = (path: string, error: unknown) =>
  new FatalError(
    'state-unwritable',
    `cannot lock ${path}: ${(error as Error).message}`,
    `make ${dirname(path)} writable for this user, or set OPENCLAW_STATE_DIR`,
    error,
  );

/** A config file outside the state directory could be shared by two of them. */
function configLock(stateDir: string, configPath: string): string[] {
  const inside = !relative(stateDir, configPath).startsWith('..');
  if (inside) return [];
  const { uid } = userInfo();
  const folder = join(tmpdir(), `openclaw-${uid}`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unwritable(folder, error);
  }
  // Not followed: whoever may write to the temporary folder could have put a link there.
  const stat = lstatSync(folder);
  if (uid >= 0 && (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o077) !== 0)) {
    throw new FatalError('state-unwritable', `${folder} must belong to this user with mode 0700`, `remove it, or run: chmod 700 ${folder}`);
  }
  return [join(folder, `gateway.${createHash('sha1').update(configPath).digest('hex').slice(0, 8)}.lock`)];
}

function writeInfo(path: string, info: HolderInfo): void {
  const temporary = `${path}.json.${process.pid}`;
  try {
    writeFileSync(temporary, `${JSON.stringify(info)}\n`, { mode: 0o600 });
    renameSync(temporary, `${path}.json`);
  } catch (error) {
    throw unwritable(path, error);
  }
}

function heldBy(path: string, profile: string | undefined): FatalError {
  let holder = '';
  try {
    const { pid, startedAt, version } = JSON.parse(readFileSync(`${path}.json`, 'utf8')) as HolderInfo;
    holder = ` by PID ${pid} (openclaw ${version}, started ${new Date(startedAt).toISOString()})`;
  } catch {
    // The holder has not written it yet, or is just going: the lock itself is what counts.
  }
  const stop =
    process.platform === 'darwin'
      ? `launchctl bootout gui/$UID/bot.molt.${profile ?? 'gateway'}`
      : `systemctl --user stop openclaw-gateway${profile === undefined ? '' : `-${profile}`}`;
  return new FatalError(
    'lock-held',
    `another gateway holds ${path}${holder}`,
    `see it with: openclaw gateway status; stop it with: openclaw gateway stop, or ${stop}`,
  );
}
