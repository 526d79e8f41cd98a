/**
 * The link of a Telegram account: asks for updates, one request at a time. Each batch is in the journal, with the cursor in
 * the same transaction, before the next request confirms it to the platform; a kill at any moment therefore loses nothing.
 *   takes     link.stop
 *   reports   link.opened · link.active · link.closed · link.ended (only when no request is open any more)
 */
import { failPoint } from '../../fail-points.ts';
import { fromIo } from '../../io.ts';
import { keepSecret } from '../../redact.ts';
import type { AccountPorts } from '../channel.ts';
import { GatewayError } from '../../../protocol/errors.ts';
import { StoreError } from '../../store/contract.ts';
import { asked, CallFailed, createApi, failureOf, type TelegramApi } from './api.ts';
import { createIntake } from './intake.ts';
import { accountConfig, apiRootOf, tokenOf } from './settings.ts';
import { toJournal, type Update } from './update.ts';

const pollSeconds = 30;
const batchSize = 100;
/** Library defaults plus reactions; kinds we do not handle are journalled as dropped, so that every skip is visible. */
const allowedUpdates = ['message', 'edited_message', 'callback_query', 'message_reaction', 'my_chat_member'] as const;

const commands = [
  { command: 'help', description: 'What I can do' },
  { command: 'status', description: 'How the gateway is' },
  { command: 'stop', description: 'Stop what I am doing' },
  { command: 'resend', description: 'Send again what may not have arrived' },
];

type Closed = { type: 'link.closed'; reason: 'lost' | 'conflict' | 'refused'; detail: string; retryAfterMs?: number };

export const telegramPoller = (ports: AccountPorts, accountId: string) =>
  fromIo<{ channel: string; accountId: string; epoch: number }>(({ report, receive, run, signal }) => {
    const stop = new AbortController();
    let isAsked = false;
    receive((event) => {
      if (event.type !== 'link.stop') return;
      isAsked = true;
      failPoint('account.stop');
      stop.abort('stopped');
    });
    run(async () => {
      const closed = await live();
      // The request has ended one way or the other: a successor may start without two of ours being open (F-11).
      report(isAsked ? { type: 'link.ended' } : closed);
    });

    async function live(): Promise<Closed> {
      const config = ports.config();
      const { value: token } = tokenOf(config, accountId, ports.env);
      if (token === undefined) return { type: 'link.closed', reason: 'refused', detail: 'no bot token' };
      keepSecret(token);
      try {
        const { timeoutSeconds = 30 } = accountConfig(config, accountId);
        const root = apiRootOf(config, accountId, ports.env);
        const api = await createApi(token, root, timeoutSeconds);
        const me = await asked(api.getMe(stop.signal as never));
        await asked(api.deleteWebhook({ drop_pending_updates: false }, stop.signal as never));
        await api.setMyCommands(commands, {}, stop.signal as never).catch((error: unknown) => {
          ports.log.warn({ accountId, error: JSON.stringify(failureOf(error)) }, 'the commands menu could not be set');
        });
        const fence = await claimOwnership();
        failPoint('account.connect');
        const poll = await createApi(token, root, pollSeconds + 10);
        const intake = createIntake(ports, accountId, { api, bot: { id: me.id, username: me.username }, fence, signal });
        report({ type: 'link.opened', identity: { id: String(me.id), name: me.username } });
        await intake.resume();
        return await pollFor(poll, String(me.id), fence, intake);
      } catch (error) {
        return closedBy(error);
      }
    }

    async function claimOwnership() {
      const owner = `account:telegram:${accountId}`;
      const { epoch } = await ports.store().call('lease.claim', { owner });
      return { owner, epoch };
    }

    async function pollFor(
      api: TelegramApi,
      botId: string,
      fence: { owner: string; epoch: number },
      intake: ReturnType<typeof createIntake>,
    ): Promise<Closed> {
      const cursorId = `telegram:${botId}`;
      let { value: cursor } = await ports.store().call('cursor.get', { id: cursorId });
      for (;;) {
        const updates = (await asked(
          api.getUpdates(
            { limit: batchSize, timeout: pollSeconds, allowed_updates: allowedUpdates, ...(cursor === null ? {} : { offset: cursor + 1 }) },
            stop.signal as never,
          ),
        )) as unknown as Update[];
        if (!Array.isArray(updates)) return { type: 'link.closed', reason: 'lost', detail: 'the answer to getUpdates is no list' };
        report({ type: 'link.active' });
        if (updates.length === 0) continue;
        failPoint('ingress.received');
        const highest = Math.max(...updates.map(({ update_id: id }) => id));
        const { rows } = await ports.store().call(
          'journal.append',
          {
            channel: 'telegram',
            account: accountId,
            updates: updates.map((update) => toJournal(update, botId)),
            cursor: { id: cursorId, value: highest },
          },
          fence,
        );
        failPoint('ingress.journalled');
        cursor = highest;
        ports.onInbound();
        intake.take(rows);
        failPoint('ingress.acked');
        if (signal.aborted) return { type: 'link.closed', reason: 'lost', detail: 'stopped' };
      }
    }

    return () => stop.abort('stopped');
  });

/** What an outage means for the link. @throws whatever is no outage: the supervisor starts a fresh one. */
function closedBy(error: unknown): Closed {
  if (error instanceof StoreError || error instanceof GatewayError)
    return { type: 'link.closed', reason: 'lost', detail: `the store did not answer: ${error.message}` };
  if (!(error instanceof CallFailed)) throw error;
  const { failure } = error;
  if (failure.kind !== 'refused') return { type: 'link.closed', reason: 'lost', detail: failure.detail };
  const { status, description, retryAfterMs } = failure;
  const detail = `${status} ${description}`.slice(0, 200);
  if (status === 409) return { type: 'link.closed', reason: 'conflict', detail: `another poller uses this bot: ${detail}` };
  if (status === 401 || status === 404) return { type: 'link.closed', reason: 'refused', detail: `the bot token was refused: ${detail}` };
  return { type: 'link.closed', reason: 'lost', detail, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}
