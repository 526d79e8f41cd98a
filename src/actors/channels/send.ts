/**
 * The method `send`: one message, one key, one delivery, however often and over however many lives the key is used. A text
 * that is too long for its platform leaves in parts that are accepted together and answered for as one.
 */
import { GatewayError, unavailable } from '../../protocol/errors.ts';
import type { Address, OutboxInput, OutboxRow, StorePort } from '../store/contract.ts';
import type { OutboxPort } from './outbox.ts';

export interface SendParams {
  to: string;
  message: string;
  channel?: string;
  accountId?: string;
  idempotencyKey: string;
}

export interface SendPorts {
  store(): StorePort;
  outbox(): OutboxPort;
  now(): number;
  /** @throws GatewayError when channel, account or target cannot be resolved. */
  resolve(params: SendParams): Address;
  /** @throws GatewayError while the account cannot send. */
  checkOnline(address: Address): void;
  chunk(channel: string, text: string): string[];
}

interface Accepted {
  lane: string;
  /** Keys of the parts, in order. */
  keys: string[];
  created: boolean;
}

/** How long `send` waits for the platform before it says that the outcome is not known yet. */
const sendWaitMs = 30_000;

const partKey = (key: string, index: number) => (index === 0 ? key : `${key}:${index + 1}`);

export function createSend(ports: SendPorts) {
  const accepting = new Map<string, Promise<Accepted>>();

  async function accept(key: string, params: SendParams): Promise<Accepted> {
    const { row: known } = await ports.store().call('outbox.get', { key });
    if (known !== null) {
      const { parts = 1 } = known.payload as { parts?: number };
      return { lane: known.lane, keys: Array.from({ length: parts }, (_, index) => partKey(key, index)), created: false };
    }
    const address = ports.resolve(params);
    ports.checkOnline(address);
    const chunks = ports.chunk(address.channel, params.message);
    const texts = chunks.length === 0 ? [params.message] : chunks;
    const rows = texts.map((text, index): OutboxInput => {
      const parts = index === 0 && texts.length > 1 ? { parts: texts.length } : {};
      return { key: partKey(key, index), address, kind: 'text', payload: { text, ...parts } };
    });
    const inserted = await ports.store().call('outbox.insert', { rows, now: ports.now() });
    const [first] = inserted.rows;
    if (first === undefined) throw new Error('the store inserted nothing');
    return { lane: first.lane, keys: rows.map((row) => row.key), created: first.created };
  }

  /** Two callers with one key at the same moment: the second finds what the first has written. */
  function acceptOnce(key: string, params: SendParams): Promise<Accepted> {
    const first = accepting.get(key);
    if (first) return first.then((accepted) => ({ ...accepted, created: false }));
    const pending = accept(key, params).finally(() => accepting.delete(key));
    accepting.set(key, pending);
    return pending;
  }

  /** Nothing heard in time: what has not left yet is taken back, what has left is waited for by whoever asks again. */
  async function withdraw([first = '', ...rest]: string[]): Promise<void> {
    const { row } = await ports.store().call('outbox.withdraw', { key: first });
    if (row === null) return;
    // Parts leave in their order: behind one that was never attempted, none was.
    for (const key of rest) await ports.store().call('outbox.withdraw', { key });
    throw unavailable('the message could not be sent in time and was withdrawn', 5_000);
  }

  return async function send(params: SendParams): Promise<Record<string, unknown>> {
    const { idempotencyKey } = params;
    const outbox = ports.outbox();
    const { lane, keys, created } = await acceptOnce(`send:${idempotencyKey}`, params);
    outbox.wake(lane);
    const signal = AbortSignal.timeout(sendWaitMs);
    const rows = await Promise.all(keys.map((key) => outbox.settled(key, signal)));
    if (rows.includes(undefined)) await withdraw(keys);
    return answer(rows, created, idempotencyKey);
  };
}

/** What the caller of `send` is told, now and whenever the key is used again. */
function answer(rows: (OutboxRow | undefined)[], created: boolean, runId: string): Record<string, unknown> {
  const failed = rows.find((row) => row?.state === 'failed' || row?.state === 'cancelled');
  if (failed)
    throw new GatewayError('UNAVAILABLE', `${failed.address.channel} refused the message: ${failed.lastError ?? 'no reason given'}`);
  if (rows.some((row) => row?.state === 'unknown'))
    throw new GatewayError('UNAVAILABLE', 'the message left, and nobody can say whether it arrived', { details: { outcome: 'unknown' } });
  const [first] = rows;
  // The same key joins the rows: asking again is how their end is learned.
  if (first === undefined || rows.includes(undefined))
    throw new GatewayError('UNAVAILABLE', 'the message is still on its way', { retryable: true, details: { outcome: 'pending' } });
  const { channel, chat } = first.address;
  return { runId, messageId: first.platformId ?? '', channel, chatId: chat, ...(created ? {} : { duplicate: true }) };
}
