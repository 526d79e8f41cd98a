/** A gateway whose model reads its answers from a file that the test may change at any time. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultConfig, type Gateway, type GatewayOptions, startGateway } from './gateway.ts';
import type { Frame, RawClient } from './raw-client.ts';
import type { Script } from './telegram-gateway.ts';

export interface ScriptedOptions extends GatewayOptions {
  /** Members of `agents.defaults`. */
  agents?: Record<string, unknown>;
  /** Other sections of the configuration. */
  more?: Record<string, unknown>;
}

export interface Scripted {
  gateway: Gateway;
  /** From now on the model answers so. */
  write(script: Script): void;
  /** A new process on the same home. */
  restart(options?: GatewayOptions): Promise<Gateway>;
  close(): Promise<void>;
}

export async function startScripted(script: Script, { agents, more, ...options }: ScriptedOptions = {}): Promise<Scripted> {
  const folder = mkdtempSync(join(tmpdir(), 'openclaw-script-'));
  const path = join(folder, 'script.json');
  writeFileSync(path, JSON.stringify(script));
  const config = {
    ...defaultConfig,
    ...more,
    agents: { defaults: { model: `openclaw/script:${path}`, ...agents }, ...(more?.['agents'] as object) },
  };
  const world: Scripted = {
    gateway: await startGateway({ config, ...options }),
    write: (next) => writeFileSync(path, JSON.stringify(next)),
    async restart(next = {}) {
      world.gateway = await startGateway({ ...options, ...next, home: world.gateway.home });
      return world.gateway;
    },
    async close() {
      await world.gateway.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return world;
}

/** Whether a frame is an event of that run. */
export const eventOf = (runId: string, name?: 'agent' | 'chat') => (frame: Frame) =>
  frame.type === 'event' &&
  (name === undefined ? frame.event === 'agent' || frame.event === 'chat' : frame.event === name) &&
  frame.payload.runId === runId;

export const eventsOf = (client: RawClient, runId: string, name?: 'agent' | 'chat') => client.frames.filter(eventOf(runId, name));

const terminal = new Set(['final', 'aborted', 'error']);

/** The terminal `chat` event of a run. */
export const chatEnd = (client: RawClient, runId: string, ms?: number) =>
  client.find((frame) => eventOf(runId, 'chat')(frame) && terminal.has(frame.payload.state), ms);

export const agentEvent = (client: RawClient, runId: string, fits: (payload: Frame['payload']) => boolean = () => true) =>
  client.find((frame) => eventOf(runId, 'agent')(frame) && fits(frame.payload));

/** Waits until the run is going on. */
export const started = (client: RawClient, runId: string) => agentEvent(client, runId, ({ data }) => data.phase === 'start');
