/**
 * Everything a gateway needs to know before it opens anything: flags, environment and file, checked in the order of
 * cli.md 7.2. Nothing is bound, signalled or written before all checks have passed.
 */
import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import type { GatewayOptions, PortSource } from '../protocol/config/options.ts';
import { type ParsedConfig, parseConfig } from '../protocol/config/parse.ts';
import { defaultPortOf, workspaceOf } from '../protocol/config/paths.ts';
import type { BindMode, ConfigIssue } from '../protocol/config/types.ts';
import { FatalError } from '../protocol/errors.ts';
import { hasAddress, isLoopback, tailnetAddress } from './addresses.ts';
import { type Call, integerOption, type OptionValues, textOption, UsageError } from './command.ts';
import { type Environment, instanceOf } from './settings.ts';

export const bindModes: readonly BindMode[] = ['loopback', 'lan', 'tailnet', 'auto', 'custom'];

/** A shorter secret can be guessed by whoever can reach the port. */
const minSecret = 16;

/** @throws UsageError for a flag nobody can mean. */
export function checkFlags(options: OptionValues, env: Environment): void {
  integerOption('port', options['port'], portRange(env));
  const bind = textOption(options['bind']);
  if (bind !== undefined && !bindModes.includes(bind as BindMode)) throw new UsageError(`--bind must be one of: ${bindModes.join(', ')}`);
  const auth = textOption(options['auth']);
  if (auth !== undefined && auth !== 'token' && auth !== 'password') throw new UsageError('--auth must be one of: token, password');
}

/** @throws FatalError with the code and the exit code a service manager reads. */
export function resolveGateway(call: Call): GatewayOptions {
  const { options, profile } = call;
  const { env, home, stateDir, configPath } = instanceOf(call);
  prepareState(stateDir);
  const raw = readConfig(configPath);
  const parsed = parseConfig(raw, env, { home, workspace: workspaceOf(home, profile) });
  if (!parsed.usable) throw unusable(configPath, parsed.issues);
  const { config, issues, hash } = parsed;
  const allowUnconfigured = options['allow-unconfigured'] === true;
  if (config.gateway.mode === 'remote') {
    throw new FatalError(
      'mode-remote',
      'gateway.mode is remote: this machine is set up as a client of another gateway',
      'run this where the gateway lives, or set gateway.mode to local',
    );
  }
  if (raw === null && !allowUnconfigured)
    throw new FatalError(
      'config-missing',
      `there is no config file (${configPath})`,
      'run: openclaw setup, or start with --allow-unconfigured',
    );
  if (config.gateway.mode === undefined && !allowUnconfigured) {
    throw new FatalError(
      'mode-unset',
      'gateway.mode is not set',
      `add gateway: { mode: 'local' } to ${configPath}, or start with --allow-unconfigured`,
    );
  }
  const bind = (textOption(options['bind']) ?? config.gateway.bind) as BindMode;
  const hosts = hostsOf(bind, config.gateway.customBindHost);
  const auth = authOf(options, env, parsed);
  const secret = auth.mode === 'token' ? auth.token : auth.password;
  if (!hosts.every(isLoopback) && (secret?.length ?? 0) < minSecret) {
    throw new FatalError(
      'auth-weak',
      `binding beyond this machine (${bind}) needs a secret of at least ${minSecret} characters`,
      'make one with: openclaw setup, or stay with --bind loopback',
    );
  }
  return {
    config,
    configPath,
    configExists: raw !== null,
    configIssues: issues,
    configHash: hash,
    stateDir,
    ...portOf(options, env, parsed, profile),
    bind,
    hosts,
    auth,
    verbose: options['verbose'] === true,
    ...(profile === undefined ? {} : { profile }),
    env,
  };
}

function prepareState(stateDir: string): void {
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    accessSync(stateDir, constants.W_OK);
  } catch (error) {
    throw new FatalError(
      'state-unwritable',
      `the state directory ${stateDir} cannot be used (${(error as NodeJS.ErrnoException).code})`,
      'make it writable for this user, or set OPENCLAW_STATE_DIR',
    );
  }
}

function readConfig(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new FatalError('config-invalid', `the config file ${path} cannot be read (${code})`, 'make it readable for this user');
  }
}

function unusable(path: string, issues: readonly ConfigIssue[]): FatalError {
  const problems = issues.filter(({ level }) => level === 'error').map(describeIssue);
  return new FatalError('config-invalid', `the config file ${path} cannot be used: ${problems.join('; ')}`, 'correct it and start again');
}

/** `line 3: gateway.port: must be a whole number from 1 to 65535` */
export const describeIssue = ({ path, message, line }: ConfigIssue): string =>
  [line === undefined ? '' : `line ${line}`, path, message].filter(Boolean).join(': ');

function hostsOf(bind: BindMode, custom: string | undefined): string[] {
  if (bind === 'loopback' || bind === 'auto') return ['127.0.0.1', ...(hasAddress('::1') ? ['::1'] : [])];
  if (bind === 'lan') return ['0.0.0.0'];
  if (bind === 'custom') {
    const fix = 'set gateway.customBindHost to an address of this machine';
    if (!custom) throw new FatalError('bind-unavailable', '--bind custom needs an address', fix);
    if (custom !== '0.0.0.0' && !hasAddress(custom)) throw new FatalError('bind-unavailable', `this machine has no address ${custom}`, fix);
    return isLoopback(custom) || custom === '0.0.0.0' ? [custom] : [custom, '127.0.0.1'];
  }
  const tailnet = tailnetAddress();
  if (tailnet === undefined)
    throw new FatalError('bind-unavailable', 'this machine has no tailnet address', 'connect Tailscale, or use --bind loopback');
  return [tailnet, '127.0.0.1'];
}

function authOf(options: OptionValues, env: Environment, { config, document }: ParsedConfig): GatewayOptions['auth'] {
  const { auth } = config.gateway;
  const token = textOption(options['token']) ?? secretFile('token-file', options) ?? (env['OPENCLAW_GATEWAY_TOKEN'] || auth.token);
  const password =
    textOption(options['password']) ?? secretFile('password-file', options) ?? (env['OPENCLAW_GATEWAY_PASSWORD'] || auth.password);
  const mode =
    (textOption(options['auth']) as 'token' | 'password' | undefined) ?? auth.mode ?? (password && !token ? 'password' : 'token');
  if (mode === 'token' && !token) {
    throw new FatalError(
      'auth-token-missing',
      'no token is set, and every connection needs one, on this machine too',
      `${misplacedToken(document)}make one with: openclaw setup, or set OPENCLAW_GATEWAY_TOKEN`,
    );
  }
  if (mode === 'password' && !password)
    throw new FatalError(
      'auth-password-missing',
      'the mode is password and no password is set',
      'set gateway.auth.password or OPENCLAW_GATEWAY_PASSWORD',
    );
  return { mode, ...(token ? { token } : {}), ...(password ? { password } : {}) };
}

/** People put the token where it reads well; they are told where it belongs. */
function misplacedToken(document: ParsedConfig['document']): string {
  const section = (document?.['gateway'] ?? {}) as { token?: unknown; remote?: { token?: unknown } };
  if (section.token) return 'gateway.token is not a key: it is called gateway.auth.token. Or ';
  return section.remote?.token ? 'gateway.remote.token is for clients: the server reads gateway.auth.token. Or ' : '';
}

function secretFile(flag: string, options: OptionValues): string | undefined {
  const path = textOption(options[flag]);
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--${flag}: cannot read ${path} (${(error as NodeJS.ErrnoException).code})`);
  }
  const secret = text.split('\n')[0]?.trim();
  if (!secret) throw new UsageError(`--${flag}: the first line of ${path} is empty`);
  return secret;
}

/** Port 0 lets the system choose, for tests only: nobody could find such a gateway again. */
const portRange = (env: Environment) => ({ min: env['OPENCLAW_TEST'] === '1' ? 0 : 1, max: 65_535 });

function portOf(
  options: OptionValues,
  env: Environment,
  { config, document }: ParsedConfig,
  profile: string | undefined,
): { port: number; portSource: PortSource } {
  const range = portRange(env);
  const flag = integerOption('port', options['port'], range);
  if (flag !== undefined) return { port: flag, portSource: 'flag' };
  const fromEnv = env['OPENCLAW_GATEWAY_PORT'];
  if (fromEnv) {
    const port = Number(fromEnv);
    if (!Number.isInteger(port) || port < range.min || port > range.max) {
      throw new FatalError(
        'config-invalid',
        `OPENCLAW_GATEWAY_PORT is '${fromEnv.slice(0, 16)}', which is no port`,
        'set it to a whole number from 1 to 65535, or unset it',
      );
    }
    return { port, portSource: 'env' };
  }
  const isConfigured = (document?.['gateway'] as { port?: unknown } | undefined)?.port !== undefined;
  if (isConfigured) return { port: config.gateway.port, portSource: 'config' };
  return { port: defaultPortOf(profile), portSource: profile === 'dev' ? 'profile' : 'default' };
}
