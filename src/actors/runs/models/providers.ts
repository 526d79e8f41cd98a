/** The providers this gateway knows without being told (agent.md 9.2). */
export type Wire = 'openai' | 'anthropic';

export interface Provider {
  wire: Wire;
  baseUrl: string;
  /** Variables that hold its key, first one wins. */
  keys: readonly string[];
  defaultModel?: string;
  /** A server on this machine: asked at start whether it is there. */
  local?: true;
}

const openai = (baseUrl: string, key: string, defaultModel: string): Provider => ({ wire: 'openai', baseUrl, keys: [key], defaultModel });
const local = (port: number): Provider => ({ wire: 'openai', baseUrl: `http://127.0.0.1:${port}/v1`, keys: [], local: true });

export const providers: Readonly<Record<string, Provider>> = {
  anthropic: {
    wire: 'anthropic',
    baseUrl: 'https://api.anthropic.com/v1',
    keys: ['ANTHROPIC_API_KEY', 'ANTHROPIC_OAUTH_TOKEN'],
    defaultModel: 'claude-sonnet-4-5',
  },
  openai: openai('https://api.openai.com/v1', 'OPENAI_API_KEY', 'gpt-5-mini'),
  google: openai('https://generativelanguage.googleapis.com/v1beta/openai', 'GEMINI_API_KEY', 'gemini-2.5-flash'),
  openrouter: openai('https://openrouter.ai/api/v1', 'OPENROUTER_API_KEY', 'openrouter/auto'),
  groq: openai('https://api.groq.com/openai/v1', 'GROQ_API_KEY', 'llama-3.3-70b-versatile'),
  xai: openai('https://api.x.ai/v1', 'XAI_API_KEY', 'grok-4'),
  mistral: openai('https://api.mistral.ai/v1', 'MISTRAL_API_KEY', 'mistral-large-latest'),
  cerebras: openai('https://api.cerebras.ai/v1', 'CEREBRAS_API_KEY', 'llama-3.3-70b'),
  zai: openai('https://api.z.ai/api/paas/v4', 'ZAI_API_KEY', 'glm-4.6'),
  moonshot: openai('https://api.moonshot.ai/v1', 'MOONSHOT_API_KEY', 'kimi-k2-0905-preview'),
  ollama: local(11_434),
  lmstudio: local(1_234),
  llamacpp: local(8_080),
  vllm: local(8_000),
};

/** Every variable that may hold a provider's key: none of them is handed to a command the agent runs. */
export const keyVariables: readonly string[] = [...new Set(Object.values(providers).flatMap(({ keys }) => keys))];

/** `provider/model`, lower-cased provider; a name without a slash belongs to the first configured provider. */
export function splitRef(ref: string): { provider: string; model: string } {
  const at = ref.indexOf('/');
  const provider = at < 0 ? 'openai' : ref.slice(0, at).trim().toLowerCase();
  return { provider: provider === 'z.ai' || provider === 'z-ai' ? 'zai' : provider, model: at < 0 ? ref : ref.slice(at + 1) };
}
