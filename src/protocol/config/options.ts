/** Everything a gateway is started with, resolved from flags, environment and file before anything is opened. */
import type { BindMode, Config, ConfigIssue } from './types.ts';

export type { Config } from './types.ts';

export type PortSource = 'flag' | 'env' | 'config' | 'profile' | 'default';

export interface GatewayOptions {
  config: Config;
  configPath: string;
  configExists: boolean;
  configIssues: ConfigIssue[];
  /** Hex SHA-256 of the file's bytes; that of the empty string when it is missing. */
  configHash: string;
  stateDir: string;
  port: number;
  portSource: PortSource;
  bind: BindMode;
  /** Addresses to listen on; the first is needed, the others are wished for. */
  hosts: string[];
  auth: { mode: 'token' | 'password'; token?: string; password?: string };
  verbose: boolean;
  /** How the file is read again at a soft restart. */
  profile?: string;
  env: Record<string, string | undefined>;
}
