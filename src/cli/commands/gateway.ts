import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { GatewayOptions, PortSource } from '../../protocol/config/options.ts';
import { type ParsedConfig, parseConfig } from '../../protocol/config/parse.ts';
import { resolvePaths } from '../../protocol/config/paths.ts';
import type { BindMode } from '../../protocol/config/types.ts';
import { FatalError } from '../../protocol/errors.ts';
import { type CommandCall, defineCommand, integerOption, textOption, UsageError } from '../command.ts';
import { runSetup } from './setup.ts';

const bindModes: readonly BindMode[] = ['loopback', 'lan', 'tailnet', 'auto', 'custom'];
const defaultPort = 18_789;
const devPort = 19_001;
const minSecret = 16;

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
  async run(call) {
    const { options, io } = call;
    if (call.positionals.length > 0) throw new UsageError(`openclaw gateway takes no '${call.positionals[0]}'; see: openclaw gateway --help`);
    checkFlags(options);
    // Only where nothing is: an existing file is never completed by a start.
    if (options['dev'] && !existsSync(pathsOf(call).configPath)) await runSetup({ ...call, options: {} });
    const resolved = resolveGateway(call);
    for (const { path, message, level } of resolved.configIssues) if (level === 'warning') io.note(`config: ${path}: ${message}`);
    const { port } = resolved;
    if (options['dev'] && io.isTerminal) io.print(greeting(port, call.profile));
    return call.hooks.startGateway(resolved);
  },
});

const greeting = (port: number, profile: string | undefined) => {
  const name = profile === undefined ? '' : profile === 'dev' ? ' --dev' : ` --profile ${profile}`;
  return [`The gateway listens on ws://127.0.0.1:${port}. Say hello from a second terminal:`, '', `  npx openclaw${name} agent --agent main --message hello`, ''].join('\n');
};

function checkFlags(options: CommandCall['options']): void {
  integerOption('port', options['port'], { min: process.env['OPENCLAW_TEST'] === '1' ? 0 : 1, max: 65_535 });
  const bind = textOption(options['bind']);
  if (bind !== undefined && !bindModes.includes(bind as BindMode)) throw new UsageError(`--bind must be one of: ${bindModes.join(', ')}`);
  const auth = textOption(options['auth']);
  if (auth !== undefined && auth !== 'token' && auth !== 'password') throw new UsageError('--auth must be one of: token, password');
}

const pathsOf = ({ io, profile }: Pick<CommandCall, 'io' | 'profile'>) => resolvePaths(io.env, io.env['HOME'] || homedir(), process.cwd(), profile);

/** The checks of cli.md 7.2, in its order: nothing is bound or written before all of them have passed. */
export function resolveGateway(call: Pick<CommandCall, 'options' | 'io' | 'profile'>): GatewayOptions {
  const { options, io, profile } = call;
  const env = withDotEnv(io.env, pathsOf(call).stateDir);
  const { stateDir, configPath } = resolvePaths(env, env['HOME'] || homedir(), process.cwd(), profile);
  prepareState(stateDir);
  const { raw, parsed } = readConfig(configPath, env, profile);
  const { config } = parsed;
  const allowUnconfigured = options['allow-unconfigured'] === true;
  if (config.gateway.mode === 'remote') {
    throw new FatalError('mode-remote', 'gateway.mode is remote: this machine is set up as a client of another gateway', 'run this where the gateway lives, or set gateway.mode to local');
  }
  if (raw === null && !allowUnconfigured) throw new FatalError('config-missing', `there is no config file (${configPath})`, 'run: openclaw setup, or start with --allow-unconfigured');
  if (config.gateway.mode === undefined && !allowUnconfigured) {
    throw new FatalError('mode-unset', 'gateway.mode is not set', 'set gateway.mode to local in the config file, or start with --allow-unconfigured');
  }
  const bind = (textOption(options['bind']) ?? config.gateway.bind) as BindMode;
  const hosts = hostsOf(bind, config.gateway.customBindHost);
  const auth = authOf(options, env, parsed);
  const secret = auth.mode === 'token' ? auth.token : auth.password;
  if (hosts.some((host) => !/^(127\.|::1$)/.test(host)) && (secret?.length ?? 0) < minSecret) {
    throw new FatalError('auth-weak', `binding beyond this machine (${bind}) needs a secret of at least ${minSecret} characters`, 'make one with: openclaw setup, or stay with --bind loopback');
  }
  const { port, portSource } = portOf(options, env, parsed, profile);
  return {
    config,
    configPath,
    configExists: raw !== null,
    configIssues: parsed.issues,
    configHash: createHash('sha256').update(raw ?? '').digest('hex'),
    stateDir,
    port,
    portSource,
    bind,
    hosts,
    auth,
    verbose: options['verbose'] === true,
    ...(profile === undefined ? {} : { profile }),
    env,
  };
}

/** `.env` of the working directory, then of the state directory; neither overrides what is set. */
function withDotEnv(env: Record<string, string | undefined>, stateDir: string): Record<string, string | undefined> {
  const result = { ...env };
  for (const path of [join(process.cwd(), '.env'), join(stateDir, '.env')]) {
    if (!existsSync(path)) continue;
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      const [, name, value] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
      if (name !== undefined && !result[name]) result[name] = (value ?? '').replace(/^(['"])(.*)\1$/, '$2');
    }
  }
  return result;
}

function prepareState(stateDir: string): void {
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    accessSync(stateDir, constants.W_OK);
  } catch (error) {
    throw new FatalError('state-unwritable', `the state directory ${stateDir} cannot be used (${(error as NodeJS.ErrnoException).code})`, 'make it writable for this user, or set OPENCLAW_STATE_DIR');
  }
}

function readConfig(path: string, env: Record<string, string | undefined>, profile: string | undefined): { raw: string | null; parsed: ParsedConfig } {
  let raw: string | null = null;
  try {
    raw = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw new FatalError('config-invalid', `the config file ${path} cannot be read (${code})`, 'make it readable for this user');
  }
  const home = env['HOME'] || homedir();
  const parsed = parseConfig(raw, env, { home, workspace: join(home, '.openclaw', profile && profile !== 'default' ? `workspace-${profile}` : 'workspace') });
  if (!parsed.valid) {
    const problems = parsed.issues.filter(({ level }) => level === 'error').map(({ path: key, message }) => `${key || path}: ${message}`);
    throw new FatalError('config-invalid', `the config file ${path} cannot be used: ${problems.join('; ')}`, 'correct it and start again; openclaw doctor explains more');
  }
  return { raw, parsed };
}

function hostsOf(bind: BindMode, custom: string | undefined): string[] {
  if (bind === 'loopback' || bind === 'auto') return ['127.0.0.1', ...(hasAddress('::1') ? ['::1'] : [])];
  if (bind === 'lan') return ['0.0.0.0'];
  if (bind === 'custom') {
    if (!custom) throw new FatalError('bind-unavailable', '--bind custom needs an address', 'set gateway.customBindHost to an address of this machine');
    if (custom !== '0.0.0.0' && !hasAddress(custom)) throw new FatalError('bind-unavailable', `this machine has no address ${custom}`, 'set gateway.customBindHost to an address of this machine');
    return /^(127\.|::1$|0\.0\.0\.0$)/.test(custom) ? [custom] : [custom, '127.0.0.1'];
  }
  const tailnet = allAddresses().find((address) => /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./.test(address));
  if (tailnet === undefined) throw new FatalError('bind-unavailable', 'this machine has no tailnet address', 'connect Tailscale, or use --bind loopback');
  return [tailnet, '127.0.0.1'];
}

const allAddresses = () => Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));
const hasAddress = (address: string) => allAddresses().includes(address) || /^127\./.test(address);

function authOf(options: CommandCall['options'], env: Record<string, string | undefined>, { config, document }: ParsedConfig): GatewayOptions['auth'] {
  const token = textOption(options['token']) ?? secretFile(options['token-file']) ?? (env['OPENCLAW_GATEWAY_TOKEN'] || config.gateway.auth.token);
  const password = textOption(options['password']) ?? secretFile(options['password-file']) ?? (env['OPENCLAW_GATEWAY_PASSWORD'] || config.gateway.auth.password);
  const mode = (textOption(options['auth']) as 'token' | 'password' | undefined) ?? config.gateway.auth.mode ?? (password && !token ? 'password' : 'token');
  if (mode === 'token' && !token) {
    const section = (document?.['gateway'] ?? {}) as { token?: unknown; remote?: { token?: unknown } };
    const wrong = section.token ? 'gateway.token is not a key: it is called gateway.auth.token. ' : section.remote?.token ? 'gateway.remote.token is for clients: the server reads gateway.auth.token. ' : '';
    throw new FatalError('auth-token-missing', 'no token is set, and every connection needs one, on this machine too', `${wrong}make one with: openclaw setup, or set OPENCLAW_GATEWAY_TOKEN`);
  }
  if (mode === 'password' && !password) throw new FatalError('auth-password-missing', 'the mode is password and no password is set', 'set gateway.auth.password or OPENCLAW_GATEWAY_PASSWORD');
  return { mode, ...(token ? { token } : {}), ...(password ? { password } : {}) };
}

function secretFile(path: string | boolean | undefined): string | undefined {
  const name = textOption(path);
  if (name === undefined) return undefined;
  try {
    return readFileSync(name, 'utf8').split('\n')[0]?.trim() || undefined;
  } catch (error) {
    throw new UsageError(`cannot read ${name} (${(error as NodeJS.ErrnoException).code})`);
  }
}

function portOf(options: CommandCall['options'], env: Record<string, string | undefined>, { config, document }: ParsedConfig, profile: string | undefined): { port: number; portSource: PortSource } {
  const min = env['OPENCLAW_TEST'] === '1' ? 0 : 1;
  const flag = integerOption('port', options['port'], { min, max: 65_535 });
  if (flag !== undefined) return { port: flag, portSource: 'flag' };
  const fromEnv = env['OPENCLAW_GATEWAY_PORT'];
  if (fromEnv) {
    const port = Number(fromEnv);
    if (!Number.isInteger(port) || port < min || port > 65_535) {
      throw new FatalError('config-invalid', `OPENCLAW_GATEWAY_PORT is '${fromEnv.slice(0, 16)}', which is no port`, 'set it to a whole number from 1 to 65535, or unset it');
    }
    return { port, portSource: 'env' };
  }
  const configured = (document?.['gateway'] as { port?: number } | undefined)?.port;
  if (configured !== undefined) return { port: config.gateway.port, portSource: 'config' };
  return profile === 'dev' ? { port: devPort, portSource: 'profile' } : { port: defaultPort, portSource: 'default' };
}
