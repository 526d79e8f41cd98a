import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const src = join(dirname(fileURLToPath(import.meta.url)), '..', 'src');
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

/** What each folder may import: folders of ours, and packages from outside. */
const arrow: Readonly<Record<string, { folders: string[]; packages: RegExp }>> = {
  protocol: { folders: ['protocol'], packages: /^(typebox|ajv|json5|ws|node:(crypto|buffer))$/ },
  machines: { folders: ['machines', 'protocol'], packages: /^xstate$/ },
  actors: { folders: ['actors', 'machines', 'protocol'], packages: /^(xstate|ws|grammy|p-queue|pino|ai|@ai-sdk\/[a-z-]+|node:[a-z_/]+)$/ },
  cli: { folders: ['cli', 'protocol'], packages: /^(json5|node:[a-z_/]+)$/ },
};

interface Import {
  file: string;
  specifier: string;
}

function importsOf(name: string, types: 'with types' | 'values' = 'with types'): Import[] {
  const whole = readFileSync(join(src, name), 'utf8');
  // Types are gone when the code runs, and need no order.
  const text =
    types === 'values' ? whole.replace(/^import type [^;]*;$/gm, '').replace(/^import \{ (?:type \w+,? ?)+ \} from [^;]*;$/gm, '') : whole;
  const pattern = /(?:^|\n)\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?'([^']+)'|import\('([^']+)'\)/g;
  return [...text.matchAll(pattern)].map((match) => ({ file: name, specifier: (match[1] ?? match[2]) as string }));
}

const folderOf = (name: string) => name.split('/')[0] as string;

describe('imports point one way', () => {
  it.each(Object.keys(arrow))('from src/%s', (folder) => {
    const { folders, packages } = arrow[folder] as (typeof arrow)[string];
    const wrong = files
      .filter((name) => folderOf(name) === folder)
      .flatMap((name) => importsOf(name))
      .filter(({ file, specifier }) => {
        if (!specifier.startsWith('.')) return !packages.test(specifier);
        return !folders.includes(folderOf(relative(src, resolve(src, dirname(file), specifier))));
      });
    expect(wrong).toEqual([]);
  });

  it('and every folder has its rule', () => {
    expect([...new Set(files.filter((name) => name.includes('/')).map(folderOf))].sort()).toEqual(Object.keys(arrow).sort());
  });
});

it('no file needs a file that needs it back', () => {
  const graph = new Map(
    files.map((name) => [
      name,
      importsOf(name, 'values')
        .filter(({ specifier }) => specifier.startsWith('.'))
        .map(({ specifier }) => relative(src, resolve(src, dirname(name), specifier))),
    ]),
  );
  const circles: string[] = [];
  for (const [name, targets] of graph)
    for (const target of targets) if (name < target && graph.get(target)?.includes(name)) circles.push(`${name} ⇄ ${target}`);
  expect(circles).toEqual([]);
});

it('nothing that changes lives in a module of the runtime', () => {
  // A bundle may hold two copies of a module, and a soft restart must not inherit anything by accident.
  const allowed = new Set([
    // Compiled validators, prepared statements and loaded libraries: derived, and the same for everybody.
    'protocol/validate.ts: compiled',
    'protocol/compile.ts: ajv',
    'actors/store/sql.ts: cache',
    'actors/runs/models/ai-sdk.ts: libraries',
    'actors/channels/telegram/api.ts: library',
    'actors/channels/telegram/api.ts: loaded',
    // Secrets stay secret for the life of the process; the database belongs to the thread that is nothing else.
    'actors/redact.ts: known',
    'actors/store/worker.ts: db',
  ]);
  const found = files.flatMap((name) =>
    [
      ...readFileSync(join(src, name), 'utf8').matchAll(/^(?:export )?(?:let (\w+)|const (\w+) = new (?:Map|Set|WeakMap)\b[^(]*\(\))/gm),
    ].map((match) => `${name}: ${match[1] ?? match[2]}`),
  );
  expect(found.filter((entry) => !allowed.has(entry))).toEqual([]);
});
