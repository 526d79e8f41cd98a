import { readFileSync } from 'node:fs';
import { RequestError } from '../../protocol/client.ts';
import { clientOptions, defineCommand, UsageError } from '../command.ts';
import { withGateway } from '../ask.ts';

export const gatewayCall = defineCommand({
  path: ['gateway', 'call'],
  summary: 'Calls any method of a running gateway and prints its payload.',
  usage: 'openclaw gateway call <method> [--params <json>] [--expect-final] [--json]',
  options: {
    params: { type: 'string', default: '{}', help: 'Parameters: a JSON object, @file, or - for stdin', value: '<json>' },
    'expect-final': { type: 'boolean', help: 'Two-stage methods: wait for the second response' },
    ...clientOptions,
  },
  examples: ['openclaw gateway call health', `openclaw gateway call chat.history --params '{"sessionKey":"main"}'`],
  async run(call) {
    const { options, positionals, io } = call;
    const [method, ...rest] = positionals;
    if (!method || rest.length > 0) throw new UsageError('name one method, for example: openclaw gateway call health');
    const params = readParams(String(options['params'] ?? '{}'));
    try {
      const payload = await withGateway(call, ({ ask }) => ask(method, params, { expectFinal: options['expect-final'] === true }));
      // On stderr, so that the payload alone can be piped on with or without --json.
      if (!options['json']) io.note(io.paint(method, 'bold'));
      io.json(payload ?? null);
      return 0;
    } catch (error) {
      if (error instanceof RequestError && !options['json']) io.json(error.error);
      throw error;
    }
  },
});

function readParams(text: string): object {
  const wrong = `--params must be a JSON object, for example: --params '{"probe":true}'`;
  let value: unknown;
  try {
    value = JSON.parse(sourceOf(text));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(wrong);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new UsageError(wrong);
  return value;
}

function sourceOf(text: string): string {
  if (text !== '-' && !text.startsWith('@')) return text;
  try {
    return readFileSync(text === '-' ? 0 : text.slice(1), 'utf8');
  } catch (error) {
    throw new UsageError(`--params: cannot read ${text === '-' ? 'stdin' : text.slice(1)} (${(error as NodeJS.ErrnoException).code})`);
  }
}
