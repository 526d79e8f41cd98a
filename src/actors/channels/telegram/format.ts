/**
 * Makes a text ready for Telegram: cut into parts before it is rendered, so that no tag is ever split, and rendered to the
 * few HTML tags the platform knows, with everything else escaped.
 */
const fence = '```';

/** Parts of at most `limit` characters; a code block that is cut is closed and opened again. */
export function chunkText(text: string, limit: number): string[] {
  const parts: string[] = [];
  let rest = text;
  let open: string | undefined;
  while (rest.length > 0) {
    const prefix = open === undefined ? '' : `${open}\n`;
    const room = limit - prefix.length - fence.length - 1;
    const cut = rest.length + prefix.length <= limit ? rest.length : breakBefore(rest, room);
    const body = prefix + rest.slice(0, cut);
    rest = rest.slice(cut).replace(/^\n+/, '');
    open = openFence(body);
    parts.push(open === undefined || rest.length === 0 ? body.trimEnd() : `${body.trimEnd()}\n${fence}`);
    if (rest.length === 0) break;
  }
  return parts.filter((part) => part !== '');
}

/** A paragraph, a line, a word; in the middle of a word only when there is no other place. */
function breakBefore(text: string, room: number): number {
  const window = text.slice(0, room);
  for (const mark of ['\n\n', '\n', ' ']) {
    const at = window.lastIndexOf(mark);
    if (at > room / 2) return at + mark.length;
  }
  // Never between the halves of one character.
  return /[\uD800-\uDBFF]$/.test(window) ? room - 1 : room;
}

/** The fence line that is still open at the end of a part. */
function openFence(text: string): string | undefined {
  let open: string | undefined;
  for (const line of text.split('\n')) {
    if (!line.trimStart().startsWith(fence)) continue;
    open = open === undefined ? line.trim() : undefined;
  }
  return open;
}

const escape = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Markdown as models write it → `b i s code pre a`. */
export function toHtml(markdown: string): string {
  const kept: string[] = [];
  // Code is taken out first: nothing inside it is markup.
  const keep = (html: string) => `\u0000${kept.push(html) - 1}\u0000`;
  const text = markdown
    .replaceAll('\u0000', '')
    .replace(/```[^\n]*\n([\s\S]*?)\n?```/g, (_match, code: string) => keep(`<pre>${escape(code)}</pre>`))
    .replace(/`([^`\n]+)`/g, (_match, code: string) => keep(`<code>${escape(code)}</code>`));
  return escape(text)
    .replace(
      /\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/g,
      (_match, label: string, url: string) => `<a href="${url.replaceAll('"', '%22')}">${label}</a>`,
    )
    .replace(/\*\*([^*\n]+)\*\*/g, '<b>$1</b>')
    .replace(/(?<![\w*])\*([^*\n]+)\*(?![\w*])/g, '<i>$1</i>')
    .replace(/(?<!\w)_([^_\n]+)_(?!\w)/g, '<i>$1</i>')
    .replace(/~~([^~\n]+)~~/g, '<s>$1</s>')
    .replace(/^#{1,6} +(.+)$/gm, '<b>$1</b>')
    .replace(/\u0000(\d+)\u0000/g, (_match, index: string) => kept[Number(index)] ?? '');
}
