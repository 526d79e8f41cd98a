// Makes the release: bundled code with its validators compiled ahead, type declarations of the client, and a package of it
// all. `npm run build -- --no-pack` stops before the package, `--out <folder>` writes elsewhere than to `dist`.
//   dist/openclaw.mjs      entry of the command, with chunks beside it
//   dist/store-worker.mjs  the store's thread
//   dist/client.mjs        what programs import as openclaw-gateway/client
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { standaloneValidators } from './compile-validators.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const dist = args.includes('--out') ? args[args.indexOf('--out') + 1] : join(root, 'dist');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

mkdirSync(dist, { recursive: true });
for (const name of readdirSync(dist)) if (name !== 'protocol.schema.json') rmSync(join(dist, name), { recursive: true });

/** CommonJS packages inside an ES module still ask for `require`. */
const banner = { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" };

/** Compiling the first schema takes longer than the rest of the start, so the release carries them as code. */
const compiledSchemas = {
  name: 'compiled-schemas',
  setup(builder) {
    builder.onLoad({ filter: /src[\\/]protocol[\\/]compile\.ts$/ }, async () => ({
      contents: await standaloneValidators(),
      loader: 'js',
      resolveDir: root,
    }));
  },
};

const common = {
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  minifySyntax: true,
  minifyWhitespace: true,
  // Names stay: stack traces and actor names are read by people.
  keepNames: false,
  legalComments: 'none',
  define: { OPENCLAW_VERSION: JSON.stringify(manifest.version) },
  banner,
  logLevel: 'warning',
};

// Loaded late and only when configured; inside the bundle they would be parsed by everybody.
const external = ['grammy', '@whiskeysockets/baileys', 'ai', '@ai-sdk/openai-compatible', '@ai-sdk/anthropic'];

await build({
  ...common,
  entryPoints: { openclaw: join(root, 'src/main.ts') },
  outdir: dist,
  outExtension: { '.js': '.mjs' },
  splitting: true,
  chunkNames: 'chunk-[hash]',
  external,
  plugins: [compiledSchemas],
});
await build({ ...common, entryPoints: [join(root, 'src/actors/store/worker.ts')], outfile: join(dist, 'store-worker.mjs') });
await build({ ...common, entryPoints: [join(root, 'src/protocol/client.ts')], outfile: join(dist, 'client.mjs'), external: ['ws'] });

run(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.types.json', '--outDir', join(dist, 'types')], root);

if (!args.includes('--no-pack')) {
  const stage = join(dist, 'release');
  mkdirSync(join(stage, 'dist'), { recursive: true });
  for (const name of ['bin', 'LICENSE', 'README.md', 'CHANGELOG.md']) cpSync(join(root, name), join(stage, name), { recursive: true });
  mkdirSync(dist, { recursive: true });
  for (const name of readdirSync(dist)) if (name !== 'release') cpSync(join(dist, name), join(stage, 'dist', name), { recursive: true });
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(released(manifest), null, 2)}\n`);
  run('npm', ['pack', '--silent', '--pack-destination', root], stage);
}

/** What is published: no tools of ours, no Node of ours, and none of the packages that are inside the bundle. */
function released({ scripts: _scripts, devDependencies: _dev, allowScripts: _allow, private: _private, ...rest }) {
  const inside = new Set(bundledPackages());
  return {
    ...rest,
    dependencies: Object.fromEntries(Object.entries(rest.dependencies).filter(([name]) => !inside.has(name))),
    optionalDependencies: Object.fromEntries(Object.entries(rest.optionalDependencies).filter(([name]) => !name.startsWith('node-linux-'))),
  };
}

/** `ws` and `typebox` stay: the client and its types are imported by other programs. */
function bundledPackages() {
  return ['ajv', 'json5', 'p-queue', 'pino', 'pino-pretty', 'xstate'];
}

function run(command, args, cwd) {
  const { status } = spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed`);
}
