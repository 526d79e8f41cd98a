import { randomUUID } from 'node:crypto';
import { askThroughRestart, timeoutOf, withGateway } from '../ask.ts';
import { type CommandCall, clientOptions, defineCommand, textOption, UsageError } from '../command.ts';

interface Sent {
  runId: string;
  messageId: string;
  channel: string;
  chatId?: string;
  duplicate?: boolean;
}

const visible = /^[\x21-\x7e]{1,128}$/;

export const messageSend = defineCommand({
  path: ['message', 'send'],
  summary: 'Sends one message through a channel of the gateway.',
  usage: 'openclaw message send --target <chat> --message <text> [--channel <id>] [--json]',
  options: {
    target: { type: 'string', short: 't', help: 'Telegram: chat id or @name', value: '<chat>' },
    message: { type: 'string', short: 'm', help: 'The text', value: '<text>' },
    channel: { type: 'string', help: 'Default: the only enabled one', value: '<id>' },
    account: { type: 'string', help: "Default: the channel's default account", value: '<id>' },
    'idempotency-key': { type: 'string', help: 'The same key is never sent twice', value: '<key>' },
    'dry-run': { type: 'boolean', help: 'Check everything, send nothing' },
    ...clientOptions,
  },
  examples: ['openclaw message send --channel telegram --target 123456789 --message hello'],
  async run(call) {
    const { options, io } = call;
    const to = textOption(options['target']);
    const message = textOption(options['message']);
    if (to === undefined || message === undefined)
      throw new UsageError('--target and --message are needed, for example: openclaw message send --target 123456789 --message hello');
    const idempotencyKey = textOption(options['idempotency-key']) ?? randomUUID();
    if (!visible.test(idempotencyKey)) throw new UsageError('--idempotency-key takes 1 to 128 visible characters');
    const channel = textOption(options['channel']);
    const accountId = textOption(options['account']);
    const params = { to, message, idempotencyKey, ...(channel ? { channel } : {}), ...(accountId ? { accountId } : {}) };
    const report = (result?: Sent) => ({
      schemaVersion: 1,
      action: 'send',
      channel: result?.channel ?? channel ?? 'default',
      ...(accountId ? { accountId } : {}),
      dryRun: result === undefined,
      handledBy: result === undefined ? 'dry-run' : 'gateway',
      idempotencyKey,
      payload: { channel: result?.channel ?? channel ?? 'default', to, via: 'gateway', mediaUrl: null, ...(result ? { result } : {}) },
    });
    try {
      const result = await send(call, params);
      if (options['json']) io.json(report(result));
      else if (result)
        io.print(
          `sent to ${result.channel} ${result.chatId ?? to}: message ${result.messageId}${result.duplicate ? ' (sent before, nothing was repeated)' : ''}`,
        );
      else io.print('nothing was sent: the flags are in order');
      return 0;
    } catch (error) {
      io.note(`the same command can be repeated safely with: --idempotency-key ${idempotencyKey}`);
      throw error;
    }
  },
});

/** A restart in between is no reason to give up: the key makes sure that nothing leaves twice. */
async function send(call: CommandCall, params: object): Promise<Sent | undefined> {
  if (!call.options['dry-run']) return askThroughRestart<Sent>(call, { method: 'send', params, timeoutMs: timeoutOf(call) });
  // Nothing is sent, but a gateway that could send has to be there.
  await withGateway(call, async () => {});
  return undefined;
}
