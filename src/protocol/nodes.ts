/**
 * What is said about nodes on the wire (protocol 7): machines that connect with the role `node` and carry out commands.
 * Pairing is a record of its own here. It never decides about a connection, and a connection never makes one.
 */
import { type Static, Type } from 'typebox';
import type { ConnectParams } from './frames.ts';

const text = Type.String({ minLength: 1 });
const optional = Type.Optional(text);
const texts = Type.Optional(Type.Array(text));

/** How a node describes itself when it asks to be paired. */
export const nodeDescription = {
  displayName: optional,
  platform: optional,
  version: optional,
  coreVersion: optional,
  uiVersion: optional,
  deviceFamily: optional,
  modelIdentifier: optional,
  caps: texts,
  commands: texts,
  remoteIp: optional,
};

const description = Type.Object(nodeDescription);

export interface NodeDescription extends Static<typeof description> {
  permissions?: Record<string, boolean>;
}

/** A request to be paired that nobody has answered yet. */
export interface PendingNode extends NodeDescription {
  requestId: string;
  nodeId: string;
  /** A hint: the asking app may find out by itself whether to bother a person. */
  silent?: boolean;
  /** The node is paired already, and an approval gives it a new token. */
  isRepair: boolean;
  ts: number;
}

/** A paired node, without its token: that is shown once, to whoever approves. */
export interface PairedNode extends NodeDescription {
  nodeId: string;
  bins?: string[];
  createdAtMs: number;
  approvedAtMs: number;
  lastConnectedAtMs?: number;
}

/** A node as lists show it, be it connected, paired, or both. */
export interface NodeInfo extends NodeDescription {
  nodeId: string;
  caps: string[];
  commands: string[];
  pathEnv?: string;
  connectedAtMs?: number;
  paired: boolean;
  connected: boolean;
}

export interface NodeInvocation {
  nodeId: string;
  command: string;
  params?: unknown;
  timeoutMs?: number;
  idempotencyKey: string;
}

/** What a node answered. `payloadJSON` is its text as it came, where it sent one. */
export interface NodeAnswer {
  payload: unknown;
  payloadJSON: string | null;
}

export interface NodeResult {
  id: string;
  ok: boolean;
  payload?: unknown;
  payloadJSON?: string;
  error?: { code?: string; message?: string };
}

/** What methods may ask about nodes. */
export interface NodesPort {
  list(): Promise<{ ts: number; nodes: NodeInfo[] }>;
  /** @throws INVALID_REQUEST for a node that is neither connected nor paired. */
  describe(nodeId: string): Promise<{ ts: number } & NodeInfo>;
  /** @throws UNAVAILABLE or INVALID_REQUEST, with what the node or the rules say in its details. */
  invoke(invocation: NodeInvocation): Promise<NodeAnswer>;
  /** Hands a result to whoever waits for it. False: nobody does, or not for this node. */
  settle(nodeId: string, result: NodeResult): boolean;
  /** From now on the connection of a node hears the runs of this conversation, or no longer. */
  follow(connId: string, sessionKey: string, wanted: boolean): void;
  /** @throws INVALID_REQUEST for a node that is not paired. */
  rename(nodeId: string, displayName: string): Promise<void>;
  pairing: {
    /** `created` is false when the node has asked already: then it is that same request. */
    request(node: NodeDescription & { nodeId: string; silent?: boolean }): Promise<{ request: PendingNode; created: boolean }>;
    list(): Promise<{ pending: PendingNode[]; paired: PairedNode[] }>;
    /** @throws INVALID_REQUEST for a request that is not there (any more). */
    approve(requestId: string): Promise<PairedNode & { token: string }>;
    /** @throws as `approve`. @returns the node whose request it was. */
    reject(requestId: string): Promise<string>;
    verify(nodeId: string, token: string): Promise<PairedNode | undefined>;
  };
}

/** Which node a connection is (decision D-32): two installations of one app are two nodes. */
export const nodeIdOf = ({ device, client }: ConnectParams): string => device?.id ?? client.instanceId ?? client.id;

/** Shipping nodes write `null` for what they leave out, which no definition allows. */
export function withoutNulls(params: unknown, names: readonly string[]): unknown {
  if (typeof params !== 'object' || params === null) return params;
  return Object.fromEntries(Object.entries(params).filter(([name, value]) => value !== null || !names.includes(name)));
}
