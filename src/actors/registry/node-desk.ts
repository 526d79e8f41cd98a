/** Answers everything about nodes: those that are connected are known here, those that are paired are rows of the store. */
import { hash, randomBytes, randomUUID } from 'node:crypto';
import { invalidRequest, unavailable } from '../../protocol/errors.ts';
import type { CommandRules } from '../../protocol/node-commands.ts';
import type { NodeDescription, NodeInfo, NodesPort, PairedNode } from '../../protocol/nodes.ts';
import type { Ports } from '../ports.ts';
import { isOutage } from '../store/patience.ts';
import type { PortTable } from '../table.ts';
import { createInvocations } from './invocations.ts';
import { createLiveNodes, inOrder, type LiveNode, type NodeRegistry } from './nodes.ts';

export interface NodeDeskSource {
  ports: Ports<PortTable>;
  now(): number;
  settings(): { nodes: CommandRules; maxBufferedBytes: number };
  canonicalKey(sessionKey: string): string;
}

export interface NodeDesk {
  registry: NodeRegistry;
  port: NodesPort;
}

export function createNodeDesk({ ports, now, settings, canonicalKey }: NodeDeskSource): NodeDesk {
  const rules = () => settings().nodes;
  const live = createLiveNodes({ now, rules });
  const invocations = createInvocations({ find: live.find, rules, maxBufferedBytes: () => settings().maxBufferedBytes });
  const store = () => ports.need('store');

  /** A stamp for people to read: when the store is away it is simply missing. */
  function noteConnected(nodeIds: string[]) {
    ports
      .find('store')
      ?.call('nodes.connected', { nodeIds, now: now() })
      .catch((error: unknown) => {
        if (!isOutage(error)) throw error;
      });
  }

  function resolved(requestId: string, nodeId: string, decision: 'approved' | 'rejected') {
    ports.find('hub')?.broadcast('node.pair.resolved', { requestId, nodeId, decision, ts: now() });
  }

  return {
    registry: {
      connect(link, nodeId, params) {
        live.connect(link, nodeId, params);
        const { instanceId } = params.client;
        noteConnected(instanceId === undefined || instanceId === nodeId ? [nodeId] : [nodeId, instanceId]);
      },
      disconnect(connId) {
        if (live.disconnect(connId)) invocations.drop(connId);
      },
      abandon: invocations.dropAll,
    },
    port: {
      async list() {
        const { paired } = await store().call('nodes.list', { now: now() });
        const stored = new Map(paired.map((node) => [node.nodeId, node]));
        const connected = new Map(live.list().map((node) => [node.nodeId, node]));
        const ids = new Set([...connected.keys(), ...stored.keys()]);
        return { ts: now(), nodes: [...ids].map((nodeId) => infoOf(nodeId, connected.get(nodeId), stored.get(nodeId))).sort(byRank) };
      },
      async describe(nodeId) {
        const { node: stored } = await store().call('nodes.get', { nodeId });
        const connected = live.find(nodeId);
        if (stored === null && connected === undefined) throw invalidRequest('unknown nodeId');
        return { ts: now(), ...infoOf(nodeId, connected, stored ?? undefined) };
      },
      invoke: invocations.invoke,
      settle: invocations.settle,
      follow: (connId, sessionKey, wanted) => live.follow(connId, canonicalKey(sessionKey), wanted),
      async rename(nodeId, displayName) {
        const { known } = await store().call('nodes.rename', { nodeId, displayName });
        if (!known) throw invalidRequest('unknown nodeId');
      },
      pairing: {
        async request(node) {
          const { request, created } = await store().call('nodes.request', { node, requestId: randomUUID(), now: now() });
          if (request === null) throw unavailable('too many nodes wait to be paired');
          if (created) ports.find('hub')?.broadcast('node.pair.requested', request);
          return { request, created };
        },
        list: () => store().call('nodes.list', { now: now() }),
        async approve(requestId) {
          const token = randomBytes(16).toString('hex');
          const result = await store().call('nodes.approve', { requestId, tokenHash: hashOf(token), now: now() });
          if (result.outcome === 'full') throw unavailable('too many nodes are paired');
          if (result.outcome !== 'paired') throw invalidRequest('unknown requestId');
          resolved(requestId, result.node.nodeId, 'approved');
          return { ...result.node, token };
        },
        async reject(requestId) {
          const { nodeId } = await store().call('nodes.reject', { requestId, now: now() });
          if (nodeId === null) throw invalidRequest('unknown requestId');
          resolved(requestId, nodeId, 'rejected');
          return nodeId;
        },
        async verify(nodeId, token) {
          const { node } = await store().call('nodes.verify', { nodeId, tokenHash: hashOf(token) });
          return node ?? undefined;
        },
      },
    },
  };
}

/** Of 128 random bits: nothing to guess, so no salt and no slow hash. */
const hashOf = (token: string) => hash('sha256', token, 'hex');

/** What the connection says wins over what was said when the node was paired. */
function infoOf(nodeId: string, live: LiveNode | undefined, stored: PairedNode | undefined): NodeInfo {
  const { bins: _bins, createdAtMs: _created, approvedAtMs: _approved, lastConnectedAtMs: _last, ...said } = stored ?? ({} as PairedNode);
  const about: NodeDescription = { ...said, ...live?.about };
  return {
    ...about,
    nodeId,
    caps: inOrder(about.caps ?? []),
    commands: inOrder(about.commands ?? []),
    ...(live === undefined ? {} : { connectedAtMs: live.connectedAtMs }),
    paired: stored !== undefined,
    connected: live !== undefined,
  };
}

/** Connected ones first, then by name, then by id. */
function byRank(a: NodeInfo, b: NodeInfo): number {
  if (a.connected !== b.connected) return a.connected ? -1 : 1;
  const [first, second] = [a, b].map(({ displayName, nodeId }) => (displayName ?? nodeId).toLowerCase()) as [string, string];
  return compare(first, second) || compare(a.nodeId, b.nodeId);
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
