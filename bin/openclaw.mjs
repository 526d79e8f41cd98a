#!/usr/bin/env node
// Finds a Node that is new enough, switches its compile cache on, and hands over. Plain old JavaScript, so that an old
// Node can read it and say what is wrong. The cache has to be on before anything else is imported.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const major = Number(process.versions.node.split('.')[0]);

if (major >= 24) {
  const state = process.env.OPENCLAW_STATE_DIR || join(process.env.HOME || homedir(), '.openclaw');
  try {
    module.enableCompileCache(process.env.OPENCLAW_COMPILE_CACHE || join(state, 'cache', 'code'));
  } catch {
    // Without a cache everything works, only slower.
  }
  const source = join(root, 'src', 'main.ts');
  const bundle = join(root, 'dist', 'openclaw.mjs');
  const entry = existsSync(source) && process.env.OPENCLAW_USE_DIST !== '1' ? source : bundle;
  await import(pathToFileURL(entry).href);
} else {
  const own = join(root, 'node_modules', '.bin', 'node');
  if (!existsSync(own)) {
    console.error(
      `error: openclaw needs Node 24.11 or newer, this is ${process.version}\n  fix         install a newer Node, or run: npm ci`,
    );
    process.exit(78);
  }
  const child = spawn(own, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(signal ? 128 + (signal === 'SIGTERM' ? 15 : 9) : (code ?? 1)));
}
