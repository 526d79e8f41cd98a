/**
 * The other side of a measurement, in a process of its own so that it costs the server nothing:
 * `node bench/load.ts <mode> <options as JSON>`. Says `ready` when it may begin, waits for `go`, and answers with its result.
 */
import { bystander } from './load/bystander.ts';
import { handshakes, hold, requests } from './load/clients.ts';
import { hostile } from './load/hostile.ts';
import { outage } from './load/outage.ts';

export interface Cue {
  say(message: string): void;
  /** Resolves when the measuring side says so. */
  told(message: string): Promise<void>;
}

type Mode = (options: never, cue: Cue) => Promise<unknown>;

const modes: Readonly<Record<string, Mode>> = { bystander, handshakes, hold, hostile, outage, requests };

const said = new Set<string>();
const waiting = new Map<string, () => void>();
process.on('message', ({ say }: { say: string }) => {
  said.add(say);
  waiting.get(say)?.();
});

const cue: Cue = {
  say: (message) => void process.send?.({ say: message }),
  told: (message) => (said.has(message) ? Promise.resolve() : new Promise((resolve) => waiting.set(message, resolve))),
};

const [name = '', options = '{}'] = process.argv.slice(2);
const mode = modes[name];
if (mode === undefined) throw new Error(`no such load: ${name}`);
const result = await mode(JSON.parse(options) as never, cue);
process.send?.({ result });
process.disconnect?.();
setTimeout(() => process.exit(0), 100).unref();
