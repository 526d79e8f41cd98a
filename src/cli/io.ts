/** What a command writes with. Results go to stdout, everything else to stderr; a script can trust both. */
export interface Io {
  /** A line of the result. */
  print(text: string): void;
  /** The one document of `--json`. */
  json(value: unknown): void;
  /** Progress, hints, warnings, errors. */
  note(text: string): void;
  /** Redraws what it drew before, on a terminal only. */
  redraw(text: string): void;
  paint(text: string, colour: Colour): string;
  /** Size of the terminal, when there is one. */
  readonly size: { columns: number; rows: number } | undefined;
  readonly env: Record<string, string | undefined>;
}

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'cyan';

export interface Sink {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

/** Where a run of the command line reads and writes: the process, or a test. */
export interface World {
  stdout: Sink;
  stderr: Sink;
  env: Record<string, string | undefined>;
}

const codes: Record<Colour, number> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 };

export function createIo({ stdout, stderr, env }: World, options: { noColor: boolean }): Io {
  const isTerminal = stdout.isTTY === true;
  const forced = env['FORCE_COLOR'] !== undefined && env['FORCE_COLOR'] !== '' && env['FORCE_COLOR'] !== '0';
  const hasColour = forced || (isTerminal && !env['NO_COLOR'] && !options.noColor);
  let drawn = 0;
  return {
    print: (text) => void stdout.write(`${text}\n`),
    json: (value) => void stdout.write(`${JSON.stringify(value, null, 2)}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    redraw(text) {
      if (isTerminal && drawn > 0) stdout.write(`\u001b[${drawn}A\u001b[J`);
      drawn = text.split('\n').length;
      stdout.write(`${text}\n`);
    },
    paint: (text, colour) => (hasColour ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text),
    get size() {
      return isTerminal ? { columns: stdout.columns ?? 80, rows: stdout.rows ?? 24 } : undefined;
    },
    env,
  };
}
