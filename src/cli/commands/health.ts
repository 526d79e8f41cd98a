import { clientOptions, defineCommand } from '../command.ts';
import { withGateway } from '../ask.ts';
import type { Io } from '../io.ts';
import { table } from '../table.ts';

/** The part of the `health` payload that people are shown. */
interface Health {
  ok: boolean;
  phase: string;
  linkChannel?: { label: string; linked: boolean };
  channels: Record<string, { state?: string; connected?: boolean; configured?: boolean; linked?: boolean; lastError?: string }>;
  channelLabels?: Record<string, string>;
  sessions: { count: number };
  model?: string;
  actors?: { total: number; degraded: { id: string }[] };
}

export const health = defineCommand({
  path: ['health'],
  summary: 'Whether the gateway serves, and how its channels are.',
  usage: 'openclaw health [--json] [--verbose]',
  options: { verbose: { type: 'boolean', help: 'Ask for a fresh look at everything' }, ...clientOptions },
  run: (call) =>
    withGateway(call, async ({ ask, target }) => {
      const { options, io } = call;
      const from = performance.now();
      const document = await ask<Health>('health', options['verbose'] ? { probe: true } : {});
      if (options['json']) io.json(document);
      else print(document, `${target.shownUrl}, answered in ${Math.round(performance.now() - from)} ms`, io);
      return document.ok ? 0 : 1;
    }),
});

function print(document: Health, connection: string, io: Io): void {
  const { ok, phase, channels, channelLabels, linkChannel, model, sessions, actors } = document;
  const rows: string[][] = [
    ['gateway', `${ok ? io.paint('ok', 'green') : io.paint('not ok', 'red')}, ${phase.replace(/\.ready$/, '')} (${connection})`],
  ];
  for (const [id, channel] of Object.entries(channels)) {
    rows.push([channelLabels?.[id] ?? id, `${wordOf(channel, io)}${channel.lastError ? ` (${channel.lastError})` : ''}`]);
  }
  if (linkChannel) rows.push([linkChannel.label, linkChannel.linked ? io.paint('linked', 'green') : io.paint('not linked', 'yellow')]);
  rows.push(['model', model ?? 'not chosen yet'], ['sessions', String(sessions.count)]);
  if (actors)
    rows.push([
      'actors',
      `${actors.total}${actors.degraded.length > 0 ? `, not well: ${actors.degraded.map(({ id }) => id).join(', ')}` : ''}`,
    ]);
  for (const line of table(rows)) io.print(line);
}

function wordOf({ connected, configured, linked, state }: Health['channels'][string], io: Io): string {
  if (connected) return io.paint('ok', 'green');
  if (configured === false) return 'not configured';
  if (linked !== undefined) return linked ? io.paint('linked', 'green') : io.paint('not linked', 'yellow');
  return io.paint(`${configured ? 'configured' : 'unknown'}${state ? `, ${state}` : ''}`, 'yellow');
}
