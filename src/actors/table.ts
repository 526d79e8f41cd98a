/** The ports of one generation, by name: how parts of the tree reach each other. */
import type { HubPort } from './hub/hub.ts';
import type { AccountStatus, InboundPort } from './channels/contract.ts';
import type { OutboxPort } from './channels/outbox.ts';
import type { RunsPort } from './runs/desk.ts';
import type { StorePort } from './store/contract.ts';
import type { UpdaterPort } from './update/updater.ts';

/** What the gateway may ask of the channels as a whole. */
export interface ChannelsPort {
  /** Newest status of every configured account. */
  statuses(): AccountStatus[];
  note(status: AccountStatus): void;
}

export interface PortTable {
  store: StorePort;
  hub: HubPort;
  runs: RunsPort;
  outbox: OutboxPort;
  inbound: InboundPort;
  updater: UpdaterPort;
}
