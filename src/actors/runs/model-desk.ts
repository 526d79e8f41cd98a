/**
 * Which model answers. Detects one at start when none is configured, loads the libraries it needs before the gateway says
 * that it is ready, and hands out models and tools to the runs.
 *   reports  child.up
 */
import type { AnyActorLogic } from 'xstate';
import type { Config } from '../../protocol/config/types.ts';
import { fromIo } from '../io.ts';
import type { Log } from '../log.ts';
import { keepSecret } from '../redact.ts';
import type { RunRow } from '../store/contract.ts';
import { loadModelLibraries, remoteModel } from './models/ai-sdk.ts';
import { assistant, assistantRef } from './models/assistant.ts';
import { type Model, ModelError, type Tool } from './models/contract.ts';
import { type Detected, detectModel } from './models/detect.ts';
import { providers, splitRef } from './models/providers.ts';
import { scriptModel } from './models/script.ts';
import { createCommandGroups } from './tools/command-groups.ts';
import { createTools, type ToolPorts } from './tools/index.ts';

export interface ModelDesk {
  actor: AnyActorLogic;
  /** Reference of the model in use, once it is known. */
  current(): string | undefined;
  forRun(run: RunRow): Promise<Model>;
  list(): { id: string; name: string; provider: string; contextWindow?: number; reasoning?: boolean }[];
  tools(ports: Omit<ToolPorts, 'exec' | 'env' | 'groups'>): Tool[];
}

export function createModelDesk(ports: {
  config(): Config;
  env: Record<string, string | undefined>;
  log: Log;
  onChange(): void;
}): ModelDesk {
  const { env } = ports;
  const groups = createCommandGroups();
  let detected: Detected | undefined;
  let detecting: Promise<Detected> | undefined;

  const actor = fromIo<unknown>(({ run, report }) => {
    detected = undefined;
    detecting = detectModel(ports.config(), env);
    run(async () => {
      detected = await detecting;
      if (splitRef((detected as Detected).ref).provider !== 'openclaw') await loadModelLibraries();
      ports.log.info({ model: detected?.ref, chosen: detected?.reason }, 'model');
      ports.onChange();
      report({ type: 'child.up' });
    });
  });

  function modelOf({ ref, baseUrl }: Detected): Model {
    if (ref === assistantRef) return assistant;
    if (ref.startsWith('openclaw/script:') && env['OPENCLAW_TEST'] === '1') return scriptModel(ref.slice('openclaw/script:'.length));
    const { provider, model } = splitRef(ref);
    const known = providers[provider];
    const configured = ports.config().models.providers[provider];
    if (known === undefined && configured === undefined) {
      throw new ModelError('format', `the provider "${provider}" is not known: configure models.providers.${provider}.baseUrl`);
    }
    const apiKey = configured?.apiKey ?? known?.keys.map((key) => env[key]).find(Boolean);
    keepSecret(apiKey);
    const listed = configured?.models?.find(({ id }) => id === model);
    return remoteModel({
      ref,
      provider,
      name: model,
      wire: (configured?.api === undefined ? known?.wire : configured.api === 'anthropic-messages' ? 'anthropic' : 'openai') ?? 'openai',
      baseUrl: baseUrl ?? configured?.baseUrl ?? known?.baseUrl ?? '',
      apiKey,
      contextWindow: listed?.contextWindow ?? 200_000,
      maxTokens: listed?.maxTokens ?? 8_192,
    });
  }

  return {
    actor,
    current: () => detected?.ref,
    async forRun() {
      return modelOf(detected ?? (await (detecting ?? detectModel(ports.config(), env))));
    },
    list() {
      const chosen = detected?.ref ?? assistantRef;
      const configured = Object.entries(ports.config().models.providers).flatMap(([provider, { models = [] }]) =>
        models.map(({ id, name, contextWindow, reasoning }) => ({
          id: `${provider}/${id}`,
          name: name ?? id,
          provider,
          ...(contextWindow === undefined ? {} : { contextWindow }),
          ...(reasoning === undefined ? {} : { reasoning }),
        })),
      );
      const own = { id: assistantRef, name: 'Built-in assistant', provider: 'openclaw', contextWindow: 16_000 };
      const { provider, model } = splitRef(chosen);
      const inUse = [own, ...configured].some(({ id }) => id === chosen) ? [] : [{ id: chosen, name: model, provider }];
      return [...inUse, ...configured, own];
    },
    tools: (toolPorts) => createTools({ ...toolPorts, exec: ports.config().tools.exec, env, groups }),
  };
}
