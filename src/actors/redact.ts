/** Masks what looks like a secret in a text. A second fence: secrets do not enter log records in the first place. */

const patterns: readonly RegExp[] = [
  /\bbot\d{5,}:[\w-]{20,}/g,
  /\b\d{6,}:[\w-]{30,}/g,
  /\b(?:sk-|ghp_|github_pat_|xox[abprs]-|xapp-|gsk_|AIza|pplx-|npm_)[\w-]{8,}/g,
  /\bBearer\s+[\w.~+/-]{8,}=*/gi,
  /-----BEGIN [A-Z ]+-----[\s\S]*?-----END [A-Z ]+-----/g,
  /(?<=["']?(?:token|password|secret|apiKey|api_key|authorization)["']?\s*[:=]\s*["']?)[\w.~+/-]{6,}/gi,
];

/** Secrets of this process, masked wherever they turn up. */
const known = new Set<string>();

/** From now on this value never leaves the process in a log line. Short values are no secrets and would mask ordinary words. */
export function keepSecret(value: string | undefined): void {
  if (value !== undefined && value.length >= 6) known.add(value);
}

/** Whether it is one of them, to the letter. */
export const isKeptSecret = (value: string): boolean => known.has(value);

export function redactText(text: string): string {
  let result = text;
  for (const secret of known) if (result.includes(secret)) result = result.replaceAll(secret, mask(secret));
  for (const pattern of patterns) result = result.replace(pattern, mask);
  return result;
}

/** Long ones keep both ends, so that two of them can be told apart. */
const mask = (secret: string) => (secret.length >= 18 ? `${secret.slice(0, 3)}***` : '***');
