// Runs the gateway from source and starts it anew when a source file is saved. The old one is asked to stop and waited for,
// so there are never two listeners. Extra arguments go to the gateway: npm run gateway:watch -- --port 19500
import { spawn } from 'node:child_process';
import { watch } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
/** Editors write a file in several steps. */
const quietMs = 150;

let child;
let timer;
let isRestarting = false;
let isEnding = false;

function start() {
  child = spawn(process.execPath, [join(root, 'bin', 'openclaw.mjs'), 'gateway', '--dev', ...args], { stdio: 'inherit' });
  child.once('exit', (code) => {
    child = undefined;
    if (isEnding) process.exit(code ?? 0);
    if (isRestarting) {
      isRestarting = false;
      start();
    } else console.error(`watch: the gateway ended (${code}); waiting for a change`);
  });
}

function restart() {
  if (isRestarting || isEnding) return;
  if (child === undefined) return start();
  isRestarting = true;
  child.kill('SIGTERM');
}

watch(join(root, 'src'), { recursive: true }, (_event, name) => {
  if (name === null || !/\.ts$/.test(name)) return;
  clearTimeout(timer);
  timer = setTimeout(restart, quietMs);
});

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    isEnding = true;
    if (child === undefined) process.exit(0);
    child.kill('SIGTERM');
  });
}

start();
