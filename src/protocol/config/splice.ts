/** A piece of a text and what takes its place. */
export interface Edit {
  from: number;
  to: number;
  text: string;
}

/** Of two edits at one place the one that was given first comes first; they must not overlap. */
export function splice(text: string, edits: readonly Edit[]): string {
  let result = '';
  let at = 0;
  for (const edit of [...edits].sort((a, b) => a.from - b.from)) {
    result += text.slice(at, edit.from) + edit.text;
    at = edit.to;
  }
  return result + text.slice(at);
}
