/**
 * Every event the gateway may send. `droppable` events are skipped for a client whose send buffer is full; any other event
 * closes such a client instead. `scope` limits an event to operators that hold it. Protocol section 5.
 */
export interface EventRow {
  droppable: boolean;
  scope?: string;
  /** A node hears it only of conversations that it asked for (protocol 7.5). */
  bySession?: true;
}

export const events = {
  'connect.challenge': { droppable: false },
  tick: { droppable: true },
  presence: { droppable: true },
  shutdown: { droppable: false },
  agent: { droppable: false, bySession: true },
  chat: { droppable: false, bySession: true },
  health: { droppable: false },
  heartbeat: { droppable: true },
  cron: { droppable: true },
  'talk.mode': { droppable: true },
  'voicewake.changed': { droppable: true },
  'node.pair.requested': { droppable: true, scope: 'operator.pairing' },
  'node.pair.resolved': { droppable: true, scope: 'operator.pairing' },
  'node.invoke.request': { droppable: false },
  'device.pair.requested': { droppable: true, scope: 'operator.pairing' },
  'device.pair.resolved': { droppable: true, scope: 'operator.pairing' },
  'exec.approval.requested': { droppable: true, scope: 'operator.approvals' },
  'exec.approval.resolved': { droppable: true, scope: 'operator.approvals' },
  inspector: { droppable: true, scope: 'operator.read' },
} as const satisfies Record<string, EventRow>;

export type EventName = keyof typeof events;
export const eventNames = Object.keys(events) as EventName[];
