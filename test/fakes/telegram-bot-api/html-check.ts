/** Checks a text with `parse_mode` HTML as the platform does, with the platform's own words for what is wrong. */

/** The subset of tags the platform knows. */
const known = new Set(['b', 'strong', 'i', 'em', 'u', 'ins', 's', 'strike', 'del', 'a', 'code', 'pre', 'blockquote', 'tg-spoiler', 'span']);
const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"' };

export type Parsed = { plain: string } | { error: string };

const refused = (reason: string): Parsed => ({ error: `Bad Request: can't parse entities: ${reason}` });

/** The text as a person sees it, or the reason why it cannot be shown. */
export function parseHtml(html: string): Parsed {
  const open: string[] = [];
  let plain = '';
  for (let at = 0; at < html.length; ) {
    const char = html[at] as string;
    if (char === '&') {
      const [match, name = ''] = /^&([a-z]+|#\d+|#x[\da-f]+);/i.exec(html.slice(at)) ?? [];
      const value = match === undefined ? undefined : valueOf(name);
      plain += value ?? '&';
      at += value === undefined ? 1 : (match as string).length;
      continue;
    }
    if (char !== '<') {
      plain += char;
      at += 1;
      continue;
    }
    const offset = Buffer.byteLength(html.slice(0, at));
    const end = html.indexOf('>', at);
    if (end < 0) return refused(`Unclosed start tag at byte offset ${offset}`);
    const inside = html.slice(at + 1, end);
    const name = (/^\/?\s*([a-z0-9-]*)/i.exec(inside)?.[1] ?? '').toLowerCase();
    at = end + 1;
    if (!inside.startsWith('/')) {
      if (!known.has(name)) return refused(`Unsupported start tag "${name}" at byte offset ${offset}`);
      open.push(name);
      continue;
    }
    const expected = open.pop();
    if (expected === undefined) return refused(`Unexpected end tag at byte offset ${offset}`);
    if (name !== '' && name !== expected)
      return refused(`Unmatched end tag at byte offset ${offset}, expected "</${expected}>", found "</${name}>"`);
  }
  const unclosed = open.at(-1);
  return unclosed === undefined ? { plain } : refused(`Can't find end tag corresponding to start tag "${unclosed}"`);
}

function valueOf(name: string): string | undefined {
  if (!name.startsWith('#')) return entities[name.toLowerCase()];
  const code = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
}
