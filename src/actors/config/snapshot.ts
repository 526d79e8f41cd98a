/** The answer of `config.get`: the file, what it means, and its problems. Secrets are closed in all three. */
import { blankText, close, closeText, secretsOf } from '../../protocol/config/secrets.ts';
import type { Config, GatewayOptions } from '../../protocol/config/options.ts';
import { parseConfig } from '../../protocol/config/parse.ts';
import { redactText } from '../redact.ts';
import { hashOf, readConfigFile } from './file.ts';

export async function configSnapshot({ configPath, configHash, env }: GatewayOptions, applied: Config): Promise<Record<string, unknown>> {
  const { text, hash } = await readConfigFile(configPath).catch(() => ({ text: null, hash: hashOf('') }));
  const { document, issues, valid } = parseConfig(text, env, { home: env['HOME'] ?? '', workspace: applied.agents.defaults.workspace });
  const shown = (level: 'error' | 'warning') =>
    issues.filter((issue) => issue.level === level).map(({ path, message }) => ({ path, message }));
  const closed = close(document ?? {});
  return {
    path: configPath,
    exists: text !== null,
    raw: text === null ? null : rawOf(text, document),
    parsed: closed,
    valid,
    config: close(applied),
    hash,
    appliedHash: configHash,
    issues: shown('error'),
    warnings: shown('warning'),
    legacyIssues: [],
  };
}

/**
 * The operator's own text, so that whoever writes it back changes only what was meant. When it says secrets where none
 * belong (a comment with the old token), only what it means is shown, without the comments.
 */
function rawOf(text: string, document: Record<string, unknown> | undefined): string {
  const bare = `${JSON.stringify(close(document ?? {}), null, 2)}\n`;
  if (document === undefined || text.trim() === '') return bare;
  const rest = blankText(text);
  const isLeaking = redactText(rest) !== rest || secretsOf(document).some((secret) => secret.length >= 4 && rest.includes(secret));
  return isLeaking ? bare : closeText(text);
}
