/**
 * Which nodes are connected, and by which connection each is reached: the newest one that is open. An older one that closes
 * late changes nothing, and one that is still there takes over when a newer one goes (decision D-18).
 */
import type { ConnectParams } from '../../protocol/frames.ts';
import { allowedCommands, type CommandRules } from '../../protocol/node-commands.ts';
import type { NodeDescription } from '../../protocol/nodes.ts';

/** As much of a connection as its node needs. */
export interface NodeLink {
  readonly connId: string;
  readonly isOpen: boolean;
  /** Bytes that the other end has not taken yet. */
  readonly buffered: number;
  readonly remote: { reportedIp?: string };
  follows: Set<string> | undefined;
  send(frame: object): void;
}

export interface LiveNode {
  nodeId: string;
  link: NodeLink;
  machine: { platform: string; deviceFamily?: string };
  /** What it said of itself. A connect is at most 64 KiB, so this is bounded with the connections. */
  about: NodeDescription & { caps: string[]; commands: string[]; pathEnv?: string };
  connectedAtMs: number;
}

/** What the hub tells of its connections. */
export interface NodeRegistry {
  connect(link: NodeLink, nodeId: string, params: ConnectParams): void;
  disconnect(connId: string): void;
  /** No answer of any node will be heard any more. */
  abandon(): void;
}

export interface LiveNodes {
  connect(link: NodeLink, nodeId: string, params: ConnectParams): void;
  /** @returns whether it was a node. */
  disconnect(connId: string): boolean;
  find(nodeId: string): LiveNode | undefined;
  /** One for each node. */
  list(): LiveNode[];
  /** The canonical key of a conversation whose runs this connection wants to hear of, or no longer. */
  follow(connId: string, sessionKey: string, wanted: boolean): void;
}

/** An app shows one conversation at a time; what it asked for longest ago goes first. */
const maxFollowed = 64;

export function createLiveNodes({ now, rules }: { now(): number; rules(): CommandRules }): LiveNodes {
  const byConnection = new Map<string, LiveNode>();
  /** Connections of each node, newest last. */
  const byNode = new Map<string, LiveNode[]>();

  return {
    connect(link, nodeId, params) {
      const node = liveNodeOf(link, nodeId, params, { connectedAtMs: now(), rules: rules() });
      link.follows = new Set();
      byConnection.set(link.connId, node);
      byNode.set(nodeId, [...(byNode.get(nodeId) ?? []), node]);
    },
    disconnect(connId) {
      const gone = byConnection.get(connId);
      if (gone === undefined) return false;
      byConnection.delete(connId);
      const others = (byNode.get(gone.nodeId) ?? []).filter((node) => node !== gone);
      if (others.length > 0) byNode.set(gone.nodeId, others);
      else byNode.delete(gone.nodeId);
      return true;
    },
    // One that says goodbye is as good as gone.
    find: (nodeId) => byNode.get(nodeId)?.findLast(({ link }) => link.isOpen),
    list: () => [...byNode.values()].flatMap((nodes) => nodes.findLast(({ link }) => link.isOpen) ?? []),
    follow(connId, sessionKey, wanted) {
      const { follows } = byConnection.get(connId)?.link ?? {};
      if (follows === undefined) return;
      follows.delete(sessionKey);
      if (!wanted) return;
      for (const oldest of follows) {
        if (follows.size < maxFollowed) break;
        follows.delete(oldest);
      }
      follows.add(sessionKey);
    },
  };
}

function liveNodeOf(
  link: NodeLink,
  nodeId: string,
  { client, caps = [], commands = [], permissions, pathEnv }: ConnectParams,
  { connectedAtMs, rules }: { connectedAtMs: number; rules: CommandRules },
): LiveNode {
  const { displayName, platform, version, deviceFamily, modelIdentifier } = client;
  const machine = { platform, ...(deviceFamily === undefined ? {} : { deviceFamily }) };
  const allowed = allowedCommands(machine, rules);
  return {
    nodeId,
    link,
    machine,
    connectedAtMs,
    about: {
      ...machine,
      version,
      ...(displayName === undefined ? {} : { displayName }),
      ...(modelIdentifier === undefined ? {} : { modelIdentifier }),
      ...(link.remote.reportedIp === undefined ? {} : { remoteIp: link.remote.reportedIp }),
      ...(permissions === undefined ? {} : { permissions }),
      ...(pathEnv === undefined ? {} : { pathEnv }),
      caps: inOrder(caps),
      commands: inOrder(commands.map((name) => name.trim()).filter((name) => allowed.has(name))),
    },
  };
}

/** Each once, sorted. */
export const inOrder = (names: readonly string[]): string[] => [...new Set(names)].sort();
