#!/usr/bin/env node
// Finds a Node that is new enough, switches its compile cache on, and hands over. Plain old JavaScript without a static
// import: an old Node has to read it to say what is wrong, a new one would load modules before the cache is on.

// Until somebody listens, Node answers a SIGUSR1 with its debugger. Whoever runs the gateway takes over what came so far.
const early = { signals: [], stop: () => process.off('SIGUSR1', note) };
const note = () => early.signals.push('SIGUSR1');
process.on('SIGUSR1', note);
Object.assign(globalThis, { openclawEarly: early });

const major = Number(process.versions.node.split('.')[0]);

if (major >= 24) {
  // Taken as objects: an import would make every member of these modules, and each command would wait for it.
  const { enableCompileCache } = process.getBuiltinModule('node:module');
  const { existsSync } = process.getBuiltinModule('node:fs');
  const home = process.env.HOME || process.getBuiltinModule('node:os').homedir();
  try {
    enableCompileCache(process.env.OPENCLAW_COMPILE_CACHE || `${process.env.OPENCLAW_STATE_DIR || `${home}/.openclaw`}/cache/code`);
  } catch {
    // Without a cache everything works, only slower.
  }
  const source = new URL('../src/main.ts', import.meta.url);
  const isSource = process.env.OPENCLAW_USE_DIST !== '1' && existsSync(source);
  await import(isSource ? source.href : new URL('../dist/openclaw.mjs', import.meta.url).href);
} else {
  const [{ spawn }, { existsSync }, { fileURLToPath }] = await Promise.all([
    import('node:child_process'),
    import('node:fs'),
    import('node:url'),
  ]);
  const own = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
  if (!existsSync(own)) {
    console.error(`error: openclaw needs Node 24.11 or newer, this is ${process.version}`);
    console.error('  fix         install a newer Node; in a checkout of the project: npm ci');
    process.exit(78);
  }
  const child = spawn(own, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(signal ? 128 + (signal === 'SIGTERM' ? 15 : 9) : (code ?? 1)));
}
