/** What the built-in assistant understands, in English and Portuguese. A fixed grammar: the same words, the same meaning. */
import { calculate } from './calculate.ts';

export type Intent = { kind: 'say'; text: string } | { kind: 'tool'; tool: string; arguments: Record<string, unknown> };

const connectHint =
  'To talk to a language model, set a key such as ANTHROPIC_API_KEY or OPENAI_API_KEY (or start a local server such as Ollama) and start the gateway again.';

const introduction = [
  'Hello! I am the built-in assistant of this gateway. I am not a language model: I understand a few fixed phrases, and what I do is real.',
  '',
  'You can say:',
  '- status, channels, sessions, time',
  '- remember <something> / what do you remember about <something>',
  '- run <command>, for example: run uptime',
  '- a calculation, for example: 12 * (3 + 4)',
  '',
  connectHint,
].join('\n');

const introductionPt = [
  'Olá! Sou o assistente embutido deste gateway. Não sou um modelo de linguagem: entendo algumas frases fixas, e o que faço é real.',
  '',
  'Podes dizer:',
  '- estado, canais, sessões, horas',
  '- lembra <algo> / o que lembras sobre <algo>',
  '- executa <comando>, por exemplo: executa uptime',
  '- uma conta, por exemplo: 12 * (3 + 4)',
].join('\n');

const say = (text: string): Intent => ({ kind: 'say', text });
const tool = (name: string, args: Record<string, unknown> = {}): Intent => ({ kind: 'tool', tool: name, arguments: args });

const rules: readonly (readonly [pattern: RegExp, meaning: (rest: string) => Intent])[] = [
  [
    /^(?:hi|hello|hey|good (?:morning|afternoon|evening)|help|\/help|\/start|who are you|what can you do)\b[\s!.?]*$/i,
    () => say(introduction),
  ],
  [/^(?:ol[aá]|oi|bom dia|boa (?:tarde|noite)|ajuda|quem [eé]s tu)[\s!.?]*$/i, () => say(introductionPt)],
  [/^(?:run|execute|executa|corre)\s+([\s\S]+)$/i, (command) => tool('exec', { command: command.trim() })],
  [
    /^(?:what do you remember|recall|o que (?:te )?lembras|o que sabes)(?:\s+(?:about|sobre|de)\s+([\s\S]+?))?[\s?.!]*$/i,
    (query) => tool('recall', { query: query.trim() }),
  ],
  [/^(?:please\s+)?(?:remember|lembra(?:-te)?)(?:\s+(?:that|que|de))?\s+([\s\S]+)$/i, (text) => tool('remember', { text: text.trim() })],
  [/^(?:\/?status|channels|estado|canais)[\s?.!]*$/i, () => tool('status')],
  [/^(?:sessions|conversations|sess[oõ]es|conversas)[\s?.!]*$/i, () => tool('sessions')],
  [/^(?:time|date|what time is it|what(?:'s| is) the (?:time|date)|horas|que horas s[aã]o)[\s?.!]*$/i, () => tool('time')],
];

export function understand(text: string): Intent {
  const words = text.trim();
  for (const [pattern, meaning] of rules) {
    const match = pattern.exec(words);
    if (match) return meaning(match[1] ?? '');
  }
  const result = calculate(words.replace(/^(?:what is|calculate|quanto [eé])\s+/i, '').replace(/[=?]\s*$/, ''));
  if (result !== undefined) return say(`${result}`);
  return say(unknown(words));
}

function unknown(words: string): string {
  const topic = words.replace(/\s+/g, ' ').slice(0, 80);
  const heard = topic === '' ? 'I did not get any words.' : `I understood that this is about: "${topic}". I cannot talk about that myself.`;
  return `${heard}\nNearest things I can do: ${nearest(words).join(', ')}. Say help for all of them.\n${connectHint}`;
}

const abilities: readonly (readonly [name: string, words: readonly string[]])[] = [
  ['status', ['status', 'gateway', 'channel', 'telegram', 'whatsapp', 'online', 'estado']],
  ['remember <something>', ['remember', 'note', 'forget', 'lembra', 'nota']],
  ['run <command>', ['run', 'command', 'shell', 'file', 'disk', 'comando']],
  ['time', ['time', 'date', 'today', 'clock', 'hora', 'dia']],
  ['sessions', ['session', 'conversation', 'chat', 'conversa']],
];

function nearest(text: string): string[] {
  const lower = text.toLowerCase();
  const scored = abilities.map(([name, words]) => [name, words.filter((word) => lower.includes(word)).length] as const);
  const found = scored.filter(([, score]) => score > 0).sort((a, b) => b[1] - a[1]);
  return (found.length > 0 ? found : scored).slice(0, 3).map(([name]) => name);
}
