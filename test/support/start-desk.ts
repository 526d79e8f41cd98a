/** The conversations with a real store and nothing else: model, tools and listeners are the test's. */
import { createActor } from 'xstate';
import { supervisor } from '../../src/machines/supervisor.ts';
import { conversationsSpec, type DeskPorts, type RunsPort } from '../../src/actors/runs/desk.ts';
import type { Model, ModelPart, ModelStepInput, Tool } from '../../src/actors/runs/models/contract.ts';
import type { RunInput, StorePort } from '../../src/actors/store/contract.ts';
import { startStore } from './start-store.ts';

export interface DeskOptions {
  /** What the model says; without it every text is answered by itself. */
  step?: (input: ModelStepInput) => AsyncIterable<ModelPart>;
  tools?: Tool[];
  settings?: Partial<DeskPorts['settings']>;
  chunk?: DeskPorts['chunk'];
  /** Stands between the desk and its store. */
  store?: (store: StorePort) => StorePort;
}

export const wordsOf = ({ messages }: ModelStepInput): string => String(messages.at(-1)?.content[0]?.['text'] ?? '');

async function* echo(input: ModelStepInput): AsyncIterable<ModelPart> {
  yield { type: 'text', delta: `you said: ${wordsOf(input)}` };
}

export async function startDesk(options: DeskOptions = {}) {
  const world = await startStore();
  const store = options.store?.(world.store) ?? world.store;
  const events: { event: string; payload: any }[] = []; // oxlint-disable-line typescript/no-explicit-any
  const told: string[] = [];
  let port: RunsPort | undefined;
  let onOffer: () => void = () => {};
  const model: Model = { ref: 'test/model', provider: 'test', name: 'model', contextWindow: 16_000, step: options.step ?? echo };
  const spec = conversationsSpec({
    env: { now: Date.now, random: Math.random },
    store: () => store,
    broadcast: (event, payload) => void events.push({ event, payload }),
    wakeOutbox: () => {},
    chunk: options.chunk ?? ((_channel, text) => [text]),
    modelFor: async () => model,
    tools: options.tools ?? [],
    isMain: (sessionKey) => sessionKey === 'agent:main:main',
    settings: {
      widths: { main: 4, subagent: 8, cron: 1 },
      timeoutMs: 60_000,
      stallMs: 60_000,
      maxSteps: 60,
      resumeMs: 600_000,
      showTools: true,
      ...options.settings,
    },
    root: { send: ({ type }) => void told.push(type) },
    offer(next) {
      port = next;
      onOffer();
      return () => {
        if (port === next) port = undefined;
      };
    },
    log: { info: () => {}, warn: () => {} },
  });
  const actor = createActor(supervisor, { input: { spec, env: { now: Date.now, random: Math.random } } });
  const offered = () =>
    new Promise<RunsPort>((resolve) => {
      onOffer = () => resolve(port as RunsPort);
    });
  const first = offered();
  actor.start();
  await first;
  let made = 0;
  return {
    store: world.store,
    events,
    told,
    actor,
    get runs(): RunsPort {
      if (port === undefined) throw new Error('the desk is not up');
      return port;
    },
    /** Resolves with the port of the next desk. */
    offered,
    system: actor.system,
    conversation: (sessionKey: string) => actor.system.get(`conversations/${sessionKey}`),
    input(message: string, more: Partial<RunInput> = {}): RunInput {
      made += 1;
      return {
        runId: `run${made}`,
        sessionKey: 'agent:main:main',
        agentId: 'main',
        source: 'agent',
        lane: 'main',
        request: { message },
        acceptedAt: Date.now(),
        ...more,
      };
    },
    async close() {
      actor.stop();
      await world.close();
      world.remove();
    },
  };
}
