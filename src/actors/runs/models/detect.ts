/** Chooses the model of a gateway that was told none (agent.md 9.6). Never throws, and takes at most 400 ms. */
import type { Config } from '../../../protocol/config/types.ts';
import { assistantRef } from './assistant.ts';
import { providers } from './providers.ts';

export interface Detected {
  ref: string;
  reason: 'configured' | 'key' | 'local server' | 'built in';
  /** Of the local server that answered: the run asks the very same one. */
  baseUrl?: string;
}

type Environment = Record<string, string | undefined>;

const limitMs = 400;

export async function detectModel(config: Config, env: Environment): Promise<Detected> {
  const { model } = config.agents.defaults;
  const configured = typeof model === 'string' ? model : model?.primary;
  if (configured) return { ref: configured, reason: 'configured' };
  for (const [id, { keys, defaultModel }] of Object.entries(providers)) {
    if (defaultModel !== undefined && keys.some((key) => env[key])) return { ref: `${id}/${defaultModel}`, reason: 'key' };
  }
  const local = await firstLocal(localServers(config, env));
  return local === undefined ? { ref: assistantRef, reason: 'built in' } : { ...local, reason: 'local server' };
}

function localServers(config: Config, env: Environment): [id: string, baseUrl: string][] {
  // Tests bring servers of their own: the usual ports of a developer's machine may be taken by real ones.
  const ports = env['OPENCLAW_TEST'] === '1' ? env['OPENCLAW_TEST_MODEL_PORTS']?.split(',').filter(Boolean) : undefined;
  const known = Object.entries(providers).filter(([, provider]) => provider.local);
  return known.flatMap(([id, { baseUrl }], index): [string, string][] => {
    const configured = config.models.providers[id]?.baseUrl;
    if (ports === undefined) return [[id, configured ?? baseUrl]];
    return ports[index] === undefined ? [] : [[id, `http://127.0.0.1:${ports[index]}/v1`]];
  });
}

/** All are asked at once; the first in the order of the table that answers with a model is taken. */
async function firstLocal(servers: [id: string, baseUrl: string][]): Promise<{ ref: string; baseUrl: string } | undefined> {
  const signal = AbortSignal.timeout(limitMs);
  const answers = await Promise.all(
    servers.map(async ([id, baseUrl]) => {
      const name = await firstModel(baseUrl, signal).catch(() => undefined);
      return name === undefined ? undefined : { ref: `${id}/${name}`, baseUrl };
    }),
  );
  return answers.find((answer) => answer !== undefined);
}

interface Listing {
  data?: { id: string; context_length?: number; max_model_len?: number }[];
}

async function firstModel(baseUrl: string, signal: AbortSignal): Promise<string | undefined> {
  const { data = [] } = (await getJson(new URL(`${baseUrl}/models`), signal)) as Listing;
  const size = (model: (typeof data)[number]) => model.context_length ?? model.max_model_len ?? 0;
  // An embedding model answers nobody.
  const chat = data.filter(({ id }) => !/embed|rerank|whisper/i.test(id)).sort((a, b) => size(b) - size(a));
  return chat[0]?.id;
}

/** Largest list anybody needs to read. */
const maxBytes = 1024 * 1024;

/** Not `fetch`: loading it takes longer than all four questions, in the middle of the start. */
function getJson(url: URL, signal: AbortSignal): Promise<unknown> {
  const { get } = process.getBuiltinModule(url.protocol === 'https:' ? 'node:https' : 'node:http');
  return new Promise((resolve, reject) => {
    const request = get(url, { signal, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
        if (text.length > maxBytes) request.destroy(new Error('the list is too long'));
      });
      response.once('error', reject);
      response.once('end', () => {
        try {
          resolve(response.statusCode === 200 ? JSON.parse(text) : {});
        } catch (error) {
          reject(error as Error);
        }
      });
    });
    request.once('error', reject);
  });
}
