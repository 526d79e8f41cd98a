/** Writes a whole file so that a kill at any moment leaves the old one or the new one, never a part of either. */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { failPointAsync } from './fail-points.ts';

/** Left by a process that died in the middle; younger ones may still be in use. */
const staleMs = 3_600_000;

/**
 * @param path of the file itself: a link would be replaced.
 * @param isStillMeant asked last, when everything but the change of names is done; if not, nothing was written.
 */
export async function writeWhole(path: string, text: string, isStillMeant: () => Promise<boolean> = async () => true): Promise<boolean> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await removeStale(folder, basename(path));
  // In the same folder: only within one file system a rename is one step.
  const temporary = `${path}.${process.pid}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await failPointAsync('write-file.opened');
      await file.writeFile(text);
      await failPointAsync('write-file.written');
      await file.sync();
    } finally {
      await file.close();
    }
    await failPointAsync('write-file.synced');
    if (!(await isStillMeant())) {
      await rm(temporary, { force: true });
      return false;
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await failPointAsync('write-file.renamed');
  await syncFolder(folder);
  return true;
}

/** Without it a power cut could bring the old name back. Some file systems cannot do it, and then it is their promise. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

async function removeStale(folder: string, name: string): Promise<void> {
  for (const found of await readdir(folder)) {
    if (!found.startsWith(`${name}.`) || !/\.\d+\.[0-9a-f-]{36}\.tmp$/.test(found)) continue;
    const path = join(folder, found);
    const written = await stat(path).catch(() => undefined);
    if (written && Date.now() - written.mtimeMs > staleMs) await rm(path, { force: true }).catch(() => {});
  }
}
