// Runs the tests and says which statements of the specification they prove. A statement counts when a test whose title
// carries its id passes, and no test with that id fails.
//   npm run conformance              counts per letter, and the ids that fail
//   npm run conformance -- --list    the covered ids too
//   npm run conformance -- C-001 …   exits 1 unless all of these pass
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const wanted = args.filter((word) => !word.startsWith('--'));
const folder = mkdtempSync(join(tmpdir(), 'openclaw-conformance-'));
const output = join(folder, 'results.json');

const given = args.find((word) => word.startsWith('--results='))?.slice('--results='.length);
if (given === undefined) {
  spawnSync(join(root, 'node_modules/.bin/vitest'), ['run', '--reporter=json', `--outputFile=${output}`], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
const { testResults } = JSON.parse(readFileSync(given ?? output, 'utf8'));
rmSync(folder, { recursive: true });

const passed = new Set();
const failed = new Map();
for (const { assertionResults } of testResults) {
  for (const { fullName, status } of assertionResults) {
    for (const id of fullName.match(/\b[A-Z]-\d{2,3}\b/g) ?? []) {
      if (status === 'passed') passed.add(id);
      else failed.set(id, [...(failed.get(id) ?? []), fullName]);
    }
  }
}
const covered = [...passed].filter((id) => !failed.has(id)).sort();
const letters = [...new Set([...covered, ...failed.keys()].map((id) => id[0]))].sort();

for (const letter of letters) {
  const of = (ids) => [...ids].filter((id) => id[0] === letter);
  console.log(`${letter}  ${String(of(covered).length).padStart(3)} pass  ${String(of(failed.keys()).length).padStart(3)} fail`);
  if (args.includes('--list')) console.log(`   ${of(covered).join(' ')}`);
}
console.log(`   ${String(covered.length).padStart(3)} statements proven`);
for (const [id, names] of failed) console.log(`fails ${id}: ${names.join(' | ')}`);

const missing = wanted.filter((id) => !covered.includes(id));
if (missing.length > 0) console.log(`not proven: ${missing.join(' ')}`);
process.exitCode = failed.size > 0 || missing.length > 0 ? 1 : 0;
