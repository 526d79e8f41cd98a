import { existsSync } from 'node:fs';
import type { GatewayOptions } from '../../protocol/config/options.ts';
import { FatalError } from '../../protocol/errors.ts';
import { type Call, type CommandCall, defineCommand, UsageError } from '../command.ts';
import { withProfile } from '../errors.ts';
import { checkFlags, describeIssue, resolveGateway } from '../gateway-options.ts';
import { instanceOf } from '../settings.ts';
import { runSetup } from './setup.ts';

export const gateway = defineCommand({
  path: ['gateway'],
  summary: 'Runs the gateway in the foreground until it is told to stop.',
  usage: 'openclaw gateway [--port <n>] [--bind <mode>] [--token <v>] [--verbose] [--dev]',
  options: {
    port: { type: 'string', help: 'Port, default 18789 (OPENCLAW_GATEWAY_PORT, gateway.port)', value: '<n>' },
    bind: { type: 'string', help: 'loopback (default), lan, tailnet, auto, custom', value: '<mode>' },
    auth: { type: 'string', help: 'token (default) or password', value: '<mode>' },
    token: { type: 'string', help: 'Token; a process list shows it, better: OPENCLAW_GATEWAY_TOKEN', value: '<v>' },
    password: { type: 'string', help: 'Password; a process list shows it, better: OPENCLAW_GATEWAY_PASSWORD', value: '<v>' },
    'token-file': { type: 'string', help: 'File whose first line is the token', value: '<path>' },
    'password-file': { type: 'string', help: 'File whose first line is the password', value: '<path>' },
    'allow-unconfigured': { type: 'boolean', help: 'Start without a config file or without gateway.mode' },
    verbose: { type: 'boolean', help: 'Show handshakes, requests and events' },
    dev: { type: 'boolean', help: 'Create config, token and workspace first where they are missing' },
  },
  examples: ['openclaw gateway', 'openclaw gateway --port 19500 --verbose'],
  interrupt: 'own',
  brokenPipe: 'own',
  async run(call) {
    const { options, positionals, io, profile } = call;
    if (positionals.length > 0) throw new UsageError(`openclaw gateway takes no '${positionals[0]}'; see: openclaw gateway --help`);
    checkFlags(options, io.env);
    // Only where nothing is: an existing file is never completed by a start.
    if (options['dev'] && !existsSync(instanceOf(call).configPath)) await runSetup({ ...call, options: {} });
    const resolved = await resolve(call);
    for (const issue of resolved.configIssues) {
      const isOff = issue.level === 'error' ? ' (this section is off until it is corrected)' : '';
      io.note(`config: ${describeIssue(issue)}${isOff}`);
    }
    if (options['dev']) io.print(greeting(resolved.port, profile));
    return call.hooks.startGateway(resolved);
  },
});

/** Who starts it without a terminal finds the reason in the log, under its code. */
async function resolve(call: CommandCall): Promise<GatewayOptions> {
  try {
    return resolveGateway(call);
  } catch (error) {
    if (error instanceof FatalError) await call.hooks.noteFatal(error, call.profile);
    throw error;
  }
}

const greeting = (port: number, profile: Call['profile']) =>
  [
    `The gateway will listen on ws://127.0.0.1:${port}. Say hello from a second terminal:`,
    '',
    withProfile('  npx openclaw agent --agent main --message hello', profile),
    '',
  ].join('\n');
