// Makes the release: bundled code with its validators compiled ahead, type declarations of the client, and a package of it
// all. `npm run build -- --no-pack` stops before the package, `--out <folder>` writes elsewhere than to `dist`.
//   dist/openclaw.mjs      the command line
//   dist/gateway.mjs       the gateway, opened by the command that runs it
//   dist/store-worker.mjs  the store's thread
//   dist/client.mjs        what programs import as openclaw-gateway/client
import { deepStrictEqual } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { namedSchemas, standaloneValidators } from './compile-validators.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const dist = args.includes('--out') ? args[args.indexOf('--out') + 1] : join(root, 'dist');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

mkdirSync(dist, { recursive: true });
for (const name of readdirSync(dist)) if (name !== 'protocol.schema.json') rmSync(join(dist, name), { recursive: true });

/** CommonJS packages inside an ES module still ask for `require`. */
const banner = { js: "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);" };

/** `ws` asks for these when it loads and uses them for encrypted or compressed connections only. */
const lateModules = new Set(['node:https', 'node:tls', 'node:zlib']);

/**
 * `import` of a module of Node reads all its exports, and some are expensive to make: that of `node:http` loads a whole
 * `fetch` that nobody asked for. Taken as an object, only what is used is made.
 */
const nodeModules = {
  name: 'node-modules',
  setup(builder) {
    const names = new Set(builtinModules);
    builder.onResolve({ filter: /^[a-z]/ }, ({ path }) =>
      path.startsWith('node:') || names.has(path) ? { path: path.replace(/^(node:)?/, 'node:'), namespace: 'builtin' } : undefined,
    );
    // Our own imports become plain members: the bundler's wrapper around a module would read all of it as well.
    builder.onLoad({ filter: /[\\/](src|scripts)[\\/].*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(
        /^import (?:\* as )?(\w+|\{[^}]*\}) from '(node:[^']+)';$/gm,
        (_, names, module) => `const ${members(names)} = process.getBuiltinModule('${module}');`,
      ),
      loader: 'ts',
    }));
    builder.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => {
      const load = `process.getBuiltinModule(${JSON.stringify(path)})`;
      return {
        contents: `module.exports = ${lateModules.has(path) ? `new Proxy({}, { get: (_, name) => ${load}[name] })` : load};`,
        loader: 'js',
      };
    });
  },
};

/** Compiling the first schema takes longer than the rest of the start, so the release carries them as code. */
const compiledSchemas = (belongs) => ({
  name: 'compiled-schemas',
  setup(builder) {
    builder.onLoad({ filter: /src[\\/]protocol[\\/]compile\.ts$/ }, async () => ({
      contents: await standaloneValidators(belongs),
      loader: 'js',
      resolveDir: root,
    }));
  },
});

/** `{ type A, b as c }` → `{ b: c }` */
const members = (names) => names.replace(/\btype \w+( as \w+)?,?/g, '').replace(/ as /g, ': ');

const plainSchemas = {
  name: 'plain-schemas',
  setup(builder) {
    builder.onResolve({ filter: /^typebox$/ }, () => ({ path: join(root, 'scripts/plain-schemas.ts') }));
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

await comparePlainSchemas();

// Loaded late and only when configured; inside the bundle they would be parsed by everybody.
const external = ['grammy', '@whiskeysockets/baileys', 'ai', '@ai-sdk/openai-compatible', '@ai-sdk/anthropic'];

/** The command line is one file and the gateway another: a command that only asks never opens the second. */
const gatewayApart = {
  name: 'gateway-apart',
  setup(builder) {
    builder.onResolve({ filter: /^\.\/actors\/gateway\.ts$/ }, () => ({ path: './gateway.mjs', external: true }));
  },
};
await build({
  ...common,
  entryPoints: [join(root, 'src/main.ts')],
  outfile: join(dist, 'openclaw.mjs'),
  // All that a command checks by itself is the configuration of a start.
  plugins: [compiledSchemas((name) => name.startsWith('config:')), plainSchemas, nodeModules, gatewayApart],
});
await build({
  ...common,
  entryPoints: [join(root, 'src/actors/gateway.ts')],
  outfile: join(dist, 'gateway.mjs'),
  external,
  plugins: [compiledSchemas(() => true), plainSchemas, nodeModules],
});
await build({
  ...common,
  entryPoints: [join(root, 'src/actors/store/worker.ts')],
  outfile: join(dist, 'store-worker.mjs'),
  plugins: [nodeModules],
});
await build({
  ...common,
  entryPoints: [join(root, 'src/protocol/client.ts')],
  outfile: join(dist, 'client.mjs'),
  external: ['ws'],
  plugins: [nodeModules],
});

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

/** A difference between the definitions and what stands in for them would be a hole in the validation. */
async function comparePlainSchemas() {
  const { outputFiles } = await build({
    ...common,
    entryPoints: [join(root, 'scripts/compile-validators.ts')],
    write: false,
    external: ['ajv', 'ajv/*'],
    plugins: [plainSchemas],
  });
  // Inside the project, where its packages are found.
  const folder = join(root, 'node_modules', '.cache');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `openclaw-compare-${process.pid}.mjs`);
  writeFileSync(path, outputFiles[0].text);
  const { namedSchemas: plainOnes } = await import(pathToFileURL(path).href);
  rmSync(path);
  const [wanted, plain] = [namedSchemas(), plainOnes()];
  for (const [name, schema] of wanted)
    deepStrictEqual(JSON.parse(JSON.stringify(plain.get(name))), JSON.parse(JSON.stringify(schema)), name);
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
  return ['ajv', 'json5', 'p-queue', 'pino', 'xstate'];
}

function run(command, args, cwd) {
  const { status } = spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed`);
}
