import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const source = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'src');

/** Every module a file names at run time: static imports, re-exports, and imports on first use. Types are erased and do not count. */
function importsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8').replaceAll(/import type[^;]*;/g, '');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, name]) => name as string);
}

/** All files reached from some files inside `src`, and the packages they name. */
function reached(starts: string[]) {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (path: string) => {
    if (files.has(path)) return;
    files.add(path);
    for (const name of importsOf(path)) {
      if (name.startsWith('.')) visit(join(dirname(path), name));
      else packages.add(name);
    }
  };
  starts.forEach(visit);
  return { files: [...files].map((path) => relative(source, path)), packages: [...packages] };
}

const filesBelow = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));

it('A-069 no module of the agent code reaches a channel or its library', () => {
  const { files, packages } = reached(filesBelow(join(source, 'actors', 'runs')));
  expect(files).toContain('actors/runs/desk.ts');
  expect(files).toContain('actors/runs/models/ai-sdk.ts');
  expect(packages).toContain('ai');
  expect(packages.filter((name) => /grammy|baileys|whiskeysockets|libsignal/i.test(name))).toEqual([]);
  expect(files.filter((name) => name.startsWith('actors/channels/'))).toEqual([]);
});

it('the look at the imports finds the libraries where they are used', () => {
  expect(reached(filesBelow(join(source, 'actors', 'channels'))).packages).toContain('grammy');
});
