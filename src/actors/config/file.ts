/** The configuration file as bytes: where it really lies, what it says right now, and how it is replaced. */
import { createHash } from 'node:crypto';
import { lstat, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { GatewayError, invalidRequest } from '../../protocol/errors.ts';
import { writeWhole } from '../write-file.ts';

export interface ConfigFile {
  /** Behind every link. */
  target: string;
  /** `null` when there is none. */
  text: string | null;
  /** Hex SHA-256 of the bytes; that of nothing when there are none. */
  hash: string;
  /** False when its bytes are no UTF-8: written again, they would not be the same. */
  isText: boolean;
}

/** What the parser takes, and a little more, so that it is the one to refuse. */
const maxFileBytes = 8 * 1024 * 1024;

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? 'unknown';

/** @throws GatewayError INVALID_REQUEST when it is nothing that can be read. */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const target = await targetOf(path);
  try {
    const found = await stat(target);
    // A pipe would be waited for, for ever.
    if (!found.isFile()) throw unreadable(`${path} is ${found.isDirectory() ? 'a directory' : 'no ordinary file'}`);
    if (found.size > maxFileBytes) throw unreadable(`${path} is too large`);
    const bytes = await readFile(target);
    const text = bytes.toString('utf8');
    return { target, text, hash: hashOf(bytes), isText: Buffer.from(text).equals(bytes) };
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return { target, text: null, hash: hashOf(''), isText: true };
    if (error instanceof GatewayError) throw error;
    throw unreadable(`${path} cannot be read (${code})`);
  }
}

/**
 * @param file as it was read before: who changed it since then is not overwritten.
 * @returns the hash of what is there now.
 */
export async function replaceConfigFile(file: ConfigFile, text: string): Promise<string> {
  try {
    const isSame = async () => (await readConfigFile(file.target)).hash === file.hash;
    if (!(await writeWhole(file.target, text, isSame))) throw changedMeanwhile((await readConfigFile(file.target)).hash);
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('UNAVAILABLE', `the configuration file cannot be written (${codeOf(error)})`, { cause: error });
  }
  return hashOf(text);
}

/** The caller reads again; repeating the same request cannot help. */
export const changedMeanwhile = (hash: string) =>
  invalidRequest('config changed since last load; read it again with config.get', { reason: 'base-hash-mismatch', hash });

export const hashOf = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

const unreadable = (message: string) => invalidRequest(message, { reason: 'hash-unavailable' });

/** A link stays a link, also one whose file is yet to be made. */
async function targetOf(path: string): Promise<string> {
  let current = path;
  for (let links = 0; links < 10; links += 1) {
    try {
      return await realpath(current);
    } catch (error) {
      if (codeOf(error) === 'ENOTDIR') return current;
      if (codeOf(error) !== 'ENOENT') throw unreadable(`${path} cannot be followed (${codeOf(error)})`);
    }
    const found = await lstat(current).catch(() => undefined);
    if (!found?.isSymbolicLink()) return current;
    current = resolve(dirname(current), await readlink(current));
  }
  throw unreadable(`${path} is a link that leads nowhere`);
}
