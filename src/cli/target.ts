/** Which gateway a command asks, and with which credentials (cli.md 5). Secrets are used here and printed nowhere. */
import { defaultPortOf } from '../protocol/config/paths.ts';
import { isThisMachine, tailnetAddress } from './addresses.ts';
import { type Call, CommandError, textOption, UsageError } from './command.ts';
import { type ClientSettings, type Environment, instanceOf, readClientSettings } from './settings.ts';

export interface Target {
  url: string;
  /** The address without what may be secret in it. */
  shownUrl: string;
  urlSource: string;
  token?: string;
  password?: string;
  configPath: string;
  configProblem?: string;
  stateDir: string;
  bind: string;
  /** What a run may take by the configuration of this machine. */
  runSeconds: number;
}

type Gateway = NonNullable<ClientSettings['gateway']>;

export async function resolveTarget(call: Call): Promise<Target> {
  const { stateDir, configPath, env } = instanceOf(call);
  const { settings, problem } = await readClientSettings(configPath, env);
  const gateway = settings.gateway ?? {};
  const address = addressOf(call, env, gateway);
  const credentials = credentialsOf(call, env, gateway, address);
  return {
    ...address,
    ...credentials,
    configPath,
    stateDir,
    bind: gateway.bind ?? 'loopback',
    runSeconds: settings.agents?.defaults?.timeoutSeconds ?? 600,
    ...(problem === undefined ? {} : { configProblem: problem }),
  };
}

interface Address {
  url: string;
  shownUrl: string;
  urlSource: string;
}

function addressOf({ options, profile }: Call, env: Environment, gateway: Gateway): Address {
  const flag = textOption(options['url']);
  if (flag !== undefined) return { ...parseUrl(flag, '--url'), urlSource: 'cli --url' };
  if (gateway.mode === 'remote') {
    if (!gateway.remote?.url)
      throw new CommandError('gateway.mode is remote, but gateway.remote.url is not set', 'set gateway.remote.url, or give --url');
    return { ...parseUrl(gateway.remote.url, 'gateway.remote.url'), urlSource: 'config gateway.remote.url' };
  }
  const port = portOf(env, gateway.port) ?? defaultPortOf(profile);
  const { host, name } = localHost(gateway);
  return { ...parseUrl(`ws://${host.includes(':') ? `[${host}]` : host}:${port}`, 'gateway.customBindHost'), urlSource: `local ${name}` };
}

/** Wherever a gateway listens on loopback too, loopback is the shortest and safest way. */
function localHost({ bind, customBindHost }: Gateway): { host: string; name: string } {
  if (bind === 'custom' && customBindHost && customBindHost !== '0.0.0.0')
    return { host: customBindHost, name: `custom ${customBindHost}` };
  const tailnet = bind === 'tailnet' ? tailnetAddress() : undefined;
  if (tailnet !== undefined) return { host: tailnet, name: `tailnet ${tailnet}` };
  return { host: '127.0.0.1', name: 'loopback' };
}

function parseUrl(text: string, source: string): { url: string; shownUrl: string } {
  let parsed: URL;
  try {
    parsed = new URL(text.replace(/^ws/, 'http'));
    if (!/^https?:$/.test(parsed.protocol)) throw new Error('scheme');
  } catch {
    throw new UsageError(`${source} is no address of a gateway: give ws://host:port or wss://host:port`);
  }
  const path = parsed.pathname === '/' ? '' : parsed.pathname;
  return { url: text.replace(/^http/, 'ws'), shownUrl: `${parsed.protocol.replace('http', 'ws')}//${parsed.host}${path}` };
}

function portOf(env: Environment, configured: unknown): number | undefined {
  const fromEnv = env['OPENCLAW_GATEWAY_PORT'];
  if (!fromEnv) return typeof configured === 'number' ? configured : undefined;
  const port = Number(fromEnv);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new CommandError(
    `OPENCLAW_GATEWAY_PORT is '${fromEnv.slice(0, 16)}', which is no port`,
    'set it to a whole number from 1 to 65535, or unset it',
  );
}

/** Flag, then environment, then file, and what the file says goes only to the gateway it was written for. */
function credentialsOf(
  { options }: Call,
  env: Environment,
  gateway: Gateway,
  { url, urlSource }: Address,
): { token?: string; password?: string } {
  const isRemote = url === gateway.remote?.url?.replace(/^http/, 'ws');
  const isOwn = isThisMachine(new URL(url.replace(/^ws/, 'http')).hostname);
  const stored = isRemote ? gateway.remote : isOwn ? gateway.auth : undefined;
  const token = textOption(options['token']) ?? (env['OPENCLAW_GATEWAY_TOKEN'] || stored?.token);
  const password = textOption(options['password']) ?? (env['OPENCLAW_GATEWAY_PASSWORD'] || stored?.password);
  if (!token && !password && urlSource === 'cli --url' && !isRemote && !isOwn) {
    throw new UsageError(
      '--url names another machine, and the secret of this one is not sent there: give --token or --password, or set OPENCLAW_GATEWAY_TOKEN',
    );
  }
  return { ...(token ? { token } : {}), ...(password ? { password } : {}) };
}
