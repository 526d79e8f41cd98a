/**
 * `openclaw/script:<path>`: answers read from a file, for tests of everything around a model. Exists only with
 * `OPENCLAW_TEST=1`. The file maps a text (or `*`) to a list of steps and is read anew for each step.
 */
import { readFile } from 'node:fs/promises';
import { type Model, ModelError, type ModelPart } from './contract.ts';

type Step =
  | { text: string }
  | { chunks: string[]; everyMs: number }
  | { delayMs: number }
  | { hang: true }
  | { error: string }
  | { toolCall: { name: string; arguments: Record<string, unknown> } };

export const scriptModel = (path: string): Model => ({
  ref: `openclaw/script:${path}`,
  provider: 'openclaw',
  name: 'script',
  contextWindow: 16_000,
  async *step({ messages, signal }): AsyncIterable<ModelPart> {
    const last = messages.at(-1);
    const words = last?.role === 'toolResult' ? '(tool result)' : String(last?.content.find(({ type }) => type === 'text')?.['text'] ?? '');
    const script = JSON.parse(await readFile(path, 'utf8')) as Record<string, Step[]>;
    for (const step of script[words] ?? script['*'] ?? [{ text: `you said: ${words}` }]) yield* play(step, messages.length, signal);
  },
});

async function* play(step: Step, position: number, signal: AbortSignal): AsyncIterable<ModelPart> {
  if ('text' in step) yield { type: 'text', delta: step.text };
  else if ('delayMs' in step) await pause(step.delayMs, signal);
  else if ('hang' in step) await pause(2 ** 31 - 1, signal);
  else if ('error' in step) throw new ModelError('other', step.error);
  else if ('toolCall' in step) yield { type: 'toolCall', id: `call-${position}`, ...step.toolCall };
  else {
    for (const delta of step.chunks) {
      await pause(step.everyMs, signal);
      yield { type: 'text', delta };
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    const onAbort = () => {
      clearTimeout(timer);
      reject(new Error('aborted'));
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
