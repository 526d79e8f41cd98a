/** The way in: a journalled message finds its conversation and becomes an accepted run. Offers the inbound port. */
import { normalizeAgentId, type SessionDefaults, sessionKeyOf } from '../protocol/session-key.ts';
import type { Config } from '../protocol/config/types.ts';
import type { InboundMessage, InboundPort } from './channels/contract.ts';
import { fromIo } from './io.ts';
import type { Ports } from './ports.ts';
import type { Address } from './store/contract.ts';
import type { PortTable } from './table.ts';

export interface InboundOptions {
  ports: Ports<PortTable>;
  config(): Config;
  defaults(): SessionDefaults;
  now(): number;
}

export const createInbound = ({ ports, config, defaults, now }: InboundOptions) =>
  fromIo<unknown>(() => {
    const keyOf = (address: Address, chatType: InboundMessage['chatType']) =>
      sessionKeyOf(
        {
          agentId: normalizeAgentId(defaults().defaultAgentId),
          channel: address.channel,
          accountId: address.account,
          kind: chatType === 'direct' ? 'dm' : 'group',
          peer: address.chat,
          ...(address.thread === undefined ? {} : { thread: address.thread }),
        },
        config().session.dmScope,
        defaults(),
      );

    const port: InboundPort = {
      async deliver(message) {
        const { address, chatType, journalId, text, sender } = message;
        const submitted = await ports.need('runs').submit({
          // The same message met again after a kill is the same run.
          runId: `in:${address.channel}:${address.account}:${journalId}`,
          sessionKey: keyOf(address, chatType),
          agentId: defaults().defaultAgentId,
          source: 'channel',
          lane: 'main',
          address,
          request: { message: text, senderId: sender.id },
          journalIds: [journalId],
          acceptedAt: now(),
        });
        submitted.begin();
        return { ended: submitted.ended };
      },
      async stop(address, _sender, chatType) {
        return (await ports.need('runs').abort(keyOf(address, chatType), undefined, 'stop')).length;
      },
    };
    return ports.offer('inbound', port);
  });
