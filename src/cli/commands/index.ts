/** Every command, with the file it lives in. A new one is its file and its line here. */
import type { Command } from '../command.ts';

export interface CommandRow {
  path: string[];
  summary: string;
  load(): Promise<Command>;
}

const row = (path: string, summary: string, load: () => Promise<Command>): CommandRow => ({ path: path.split(' '), summary, load });

export const commands: CommandRow[] = [
  row('setup', 'Writes a configuration with a token, once', async () => (await import('./setup.ts')).setup),
  row('gateway', 'Runs the gateway in the foreground', async () => (await import('./gateway.ts')).gateway),
  row('gateway run', 'The same', async () => (await import('./gateway.ts')).gateway),
  row('gateway call', 'Calls any method of a running gateway', async () => (await import('./gateway-call.ts')).gatewayCall),
  row('gateway health', 'The same as health', async () => (await import('./health.ts')).health),
  row('status', 'What is going on, also when nothing is', async () => (await import('./status.ts')).status),
  row('health', 'Whether the gateway serves', async () => (await import('./health.ts')).health),
  row('agent', 'Says something to the agent and prints its answer', async () => (await import('./agent.ts')).agent),
  row('message send', 'Sends one message through a channel', async () => (await import('./message-send.ts')).messageSend),
  row('logs', 'Shows the log of the gateway', async () => (await import('./logs.ts')).logs),
  row('inspect tree', 'Shows every live part of the gateway', async () => (await import('./inspect-tree.ts')).inspectTree),
];
