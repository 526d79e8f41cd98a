/** The answer of `config.get`: the file, what it means, and its problems. Secrets are closed in all three. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { configKeys } from '../../protocol/config/keys.ts';
import type { Config, GatewayOptions } from '../../protocol/config/options.ts';
import { parseConfig } from '../../protocol/config/parse.ts';

const looksSecret = /(token|password|secret|api_?key)$/i;

export async function configSnapshot({ configPath, env }: GatewayOptions, applied: Config): Promise<Record<string, unknown>> {
  const raw = await readFile(configPath, 'utf8').catch(() => null);
  const { document, issues, valid } = parseConfig(raw, env, { home: env['HOME'] ?? '', workspace: applied.agents.defaults.workspace });
  const shown = (level: 'error' | 'warning') =>
    issues.filter((issue) => issue.level === level).map(({ path, message }) => ({ path, message }));
  const closed = close(document ?? {});
  return {
    path: configPath,
    exists: raw !== null,
    raw: raw === null ? null : `${JSON.stringify(closed, null, 2)}\n`,
    parsed: closed,
    valid,
    config: close(applied),
    hash: createHash('sha256')
      .update(raw ?? '')
      .digest('hex'),
    issues: shown('error'),
    warnings: shown('warning'),
    legacyIssues: [],
  };
}

/** A secret shows as the start of its hash: enough to compare two of them, nothing to use. */
export function close(value: unknown, path = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => close(item, path));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, close(item, path === '' ? key : `${path}.${key}`)]));
  }
  const isSecret = configKeys[path]?.secret === true || looksSecret.test(path);
  return isSecret && typeof value === 'string' ? `secret:${createHash('sha256').update(value).digest('hex').slice(0, 8)}` : value;
}
