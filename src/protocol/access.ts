/**
 * Who may call what. Decided before a method is looked up, so a stranger cannot find out which methods exist.
 * Protocol section 4: a method in no list needs `operator.admin`; nodes may call the node methods only.
 */
import { GatewayError } from './errors.ts';

const list = (names: string) => new Set(names.split(/\s+/));

const nodeMethods = list('node.invoke.result node.event skills.bins');

/** What an operator may open to nodes besides, by `gateway.nodes.allowMethods` (decision D-25); other names are ignored. */
const openableMethods = list('chat.history chat.send chat.abort sessions.list health config.get voicewake.get voicewake.set');

export const openedToNodes = (names: readonly string[]): ReadonlySet<string> => new Set(names.filter((name) => openableMethods.has(name)));

const byScope: readonly (readonly [scope: string, names: ReadonlySet<string>])[] = [
  [
    'operator.read',
    list(
      `health status logs.tail channels.status usage.status usage.cost tts.status tts.providers models.list agents.list
       agent.identity.get skills.status voicewake.get sessions.list sessions.preview cron.list cron.status cron.runs
       system-presence last-heartbeat node.list node.describe chat.history inspector.tree inspector.machine
       inspector.history inspector.subscribe inspector.unsubscribe inspector.actor`,
    ),
  ],
  [
    'operator.write',
    list(
      `send agent agent.wait wake talk.mode tts.enable tts.disable tts.convert tts.setProvider voicewake.set node.invoke
       chat.send chat.abort browser.request`,
    ),
  ],
  ['operator.approvals', list('exec.approval.request exec.approval.resolve')],
  [
    'operator.pairing',
    list(
      `node.pair.request node.pair.list node.pair.approve node.pair.reject node.pair.verify node.rename device.pair.list
       device.pair.approve device.pair.reject device.token.rotate device.token.revoke`,
    ),
  ],
];

const scopeByMethod = new Map(byScope.flatMap(([scope, names]) => [...names].map((name) => [name, scope] as const)));

/** What a method asks of its caller: the word `node`, or the name of an operator scope. */
export const accessOf = (method: string): string => (nodeMethods.has(method) ? 'node' : (scopeByMethod.get(method) ?? 'operator.admin'));

export interface Caller {
  role: string;
  scopes: ReadonlySet<string>;
  /** Methods that the configuration opens to this node. */
  opened?: ReadonlySet<string>;
}

/** @throws GatewayError INVALID_REQUEST with the words that clients match. */
export function authorize(method: string, caller: Caller): void {
  if (caller.role === 'node' && caller.opened?.has(method)) return;
  const needed = accessOf(method);
  if ((needed === 'node') !== (caller.role === 'node')) {
    throw new GatewayError('INVALID_REQUEST', `unauthorized role: ${caller.role}`);
  }
  if (needed === 'node' || holds(caller.scopes, needed)) return;
  throw new GatewayError('INVALID_REQUEST', `missing scope: ${needed}`);
}

/** Admin passes everything; for methods, writing implies reading. */
const holds = (scopes: ReadonlySet<string>, needed: string) =>
  scopes.has(needed) || scopes.has('operator.admin') || (needed === 'operator.read' && scopes.has('operator.write'));
