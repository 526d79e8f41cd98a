/**
 * Who is there: the gateway itself, its clients, and machines that announced themselves. Keys and merging follow protocol
 * section 6; the macOS app crashes when two entries share an instance id, so uniqueness is kept here and nowhere else.
 */
import { hostname, networkInterfaces } from 'node:os';
import type { ConnectParams, PresenceEntry } from '../../protocol/frames.ts';

const ttlMs = 300_000;
const maxEntries = 200;
/** Every entry goes to every client with every change, so what one client may put into it is bounded. */
const maxTextChars = 4_096;
const maxFieldChars = 256;
const maxListItems = 64;

export interface Presence {
  readonly version: number;
  list(): PresenceEntry[];
  connect(client: { connId: string; params: ConnectParams; role: string; scopes: string[]; ip: string | undefined }): void;
  disconnect(connId: string): void;
  note(params: Record<string, unknown> & { text: string }): void;
}

interface Stored {
  entry: PresenceEntry;
  /** Connections that own the entry; it does not age while there is one. */
  owners: Set<string>;
}

export function createPresence(options: { version: string; now(): number; mode?: string }): Presence {
  const { now } = options;
  const host = hostname() || 'gateway';
  const ownIp = primaryAddress();
  const self: PresenceEntry = {
    host,
    ip: ownIp,
    version: options.version,
    platform: process.platform,
    mode: 'gateway',
    reason: 'self',
    text: `Gateway: ${host} (${ownIp}) · app ${options.version} · mode gateway · reason self`,
    ts: now(),
  };
  const selfKey = host.toLowerCase();
  const entries = new Map<string, Stored>();
  let version = 1;

  function upsert(key: string, update: PresenceEntry): Stored {
    const known = entries.get(key);
    const stored: Stored = { entry: known ? merge(known.entry, update) : update, owners: known?.owners ?? new Set() };
    entries.set(key, stored);
    return stored;
  }

  /**
   * Where an update belongs. An instance id has one entry: a device takes over the entry of its instance id, and whoever
   * knows only the instance id joins the entry that has it.
   */
  function keyFor(own: string, deviceId: string | undefined, instanceId: string | undefined): string {
    if (instanceId === undefined) return own;
    const wanted = instanceId.toLowerCase();
    for (const [key, { entry, owners }] of entries) {
      if (key === own || entry.instanceId?.toLowerCase() !== wanted) continue;
      if (deviceId === undefined) return key;
      entries.delete(key);
      const moved = upsert(own, entry);
      for (const connId of owners) moved.owners.add(connId);
      return own;
    }
    return own;
  }

  /** Pruned when read, so that nobody has to own a timer for it. */
  function prune() {
    const oldest = now() - ttlMs;
    for (const [key, { entry, owners }] of entries) if (owners.size === 0 && entry.ts < oldest) entries.delete(key);
    const loose = [...entries].filter(([, { owners }]) => owners.size === 0).sort((a, b) => a[1].entry.ts - b[1].entry.ts);
    for (const [key] of loose.slice(0, Math.max(0, loose.length - maxEntries))) entries.delete(key);
  }

  return {
    get version() {
      return version;
    },
    list() {
      prune();
      self.ts = now();
      const seen = new Set<string>();
      return [self, ...[...entries.values()].map(({ entry }) => entry)]
        .sort((a, b) => b.ts - a.ts)
        .filter((entry) => {
          const name = entry.instanceId ?? entry.host ?? entry.ip ?? entry.text ?? '';
          if (entry === self || !seen.has(name)) return seen.add(name);
          return false;
        });
    },
    connect({ connId, params: { client, device }, role, scopes, ip }) {
      const [deviceId, instanceId] = [device?.id, client.instanceId].map(field);
      const own = deviceId ?? instanceId ?? connId;
      const name = field(client.displayName) ?? field(client.id) ?? 'client';
      const address = ip ?? ownIp;
      const appVersion = field(client.version) ?? 'unknown';
      const mode = field(client.mode) ?? 'unknown';
      const more = {
        platform: field(client.platform),
        deviceFamily: field(client.deviceFamily),
        modelIdentifier: field(client.modelIdentifier),
      };
      const { owners } = upsert(keyFor(own.toLowerCase(), deviceId, instanceId), {
        host: name,
        ip: address,
        version: appVersion,
        ...defined(more),
        mode,
        reason: 'connect',
        text: `Node: ${name} (${address}) · app ${appVersion} · mode ${mode} · reason connect`,
        ts: now(),
        roles: [role],
        ...(scopes.length > 0 ? { scopes: scopes.slice(0, maxListItems) } : {}),
        ...defined({ deviceId }),
        instanceId: instanceId ?? deviceId ?? connId,
      });
      owners.add(connId);
      version += 1;
    },
    disconnect(connId) {
      for (const stored of entries.values()) {
        if (!stored.owners.delete(connId)) continue;
        if (stored.owners.size === 0) stored.entry = { ...stored.entry, reason: 'disconnect', ts: now() };
        version += 1;
        return;
      }
    },
    note(params) {
      const beacon = beaconOf(params);
      const { deviceId, instanceId, host: beaconHost, ip } = beacon;
      const own = (deviceId ?? instanceId ?? beaconHost ?? ip ?? beacon.text.slice(0, 64) ?? host).trim().toLowerCase();
      const key = keyFor(own, deviceId, instanceId);
      if (key !== selfKey) upsert(key, { ...beacon, ts: now() });
      prune();
      version += 1;
    },
  };
}

/** A text as an entry may carry it; blank ones and other types count as absent. */
function field(value: unknown): string | undefined {
  const text = typeof value === 'string' ? cut(value, maxFieldChars).trim() : '';
  return text === '' ? undefined : text;
}

/** Cut between characters: half of a surrogate pair is no valid text on the wire. */
const cut = (text: string, chars: number) => text.slice(0, chars).replace(/[\uD800-\uDBFF]$/, '');

const defined = <T extends object>(members: T) =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Partial<PresenceEntry>;

/** New fields win, roles and scopes are united, the rest is kept. */
function merge(old: PresenceEntry, update: PresenceEntry): PresenceEntry {
  const union = (a: string[] | undefined, b: string[] | undefined) =>
    a || b ? [...new Set([...(b ?? []), ...(a ?? [])])].slice(0, maxListItems) : undefined;
  const roles = union(old.roles, update.roles);
  const scopes = union(old.scopes, update.scopes);
  return { ...old, ...update, ...(roles ? { roles } : {}), ...(scopes ? { scopes } : {}) };
}

const texts = ['deviceId', 'instanceId', 'host', 'ip', 'mode', 'version', 'platform', 'deviceFamily', 'modelIdentifier', 'reason'] as const;
const lists = ['roles', 'scopes', 'tags'] as const;

/** Fields of the wrong type are ignored; the text's own grammar fills in what was not sent as a field. */
function beaconOf(params: Record<string, unknown> & { text: string }) {
  const beacon: Omit<PresenceEntry, 'ts'> & { text: string } = { ...parsed(params.text), text: cut(params.text, maxTextChars) };
  for (const name of texts) {
    const value = field(params[name] ?? beacon[name]);
    if (value !== undefined) beacon[name] = value;
  }
  for (const name of lists) {
    const value = params[name];
    if (!Array.isArray(value)) continue;
    const items = value.slice(0, maxListItems).flatMap((item) => field(item) ?? []);
    if (items.length > 0) beacon[name] = items;
  }
  const seconds = params['lastInputSeconds'];
  const whole = typeof seconds === 'number' && seconds >= 0 ? Math.round(seconds) : undefined;
  // Apps decode it as an integer: what does not fit into one makes them reject everything around it.
  if (Number.isSafeInteger(whole)) beacon.lastInputSeconds = whole as number;
  return beacon;
}

/** `Node: <host> (<ip>) · app <v> · last input <n>s ago · mode <m> · reason <r>` */
function parsed(text: string): Omit<PresenceEntry, 'ts'> {
  if (!text.startsWith('Node:')) return {};
  const [head = '', ...parts] = text
    .slice('Node:'.length)
    .split('·')
    .map((part) => part.trim());
  const [, host, ip] = /^(.*?)(?:\s*\(([^)]*)\))?$/.exec(head) ?? [];
  const found: Omit<PresenceEntry, 'ts'> = { ...(host ? { host } : {}), ...(ip ? { ip } : {}) };
  for (const part of parts) {
    const [, app] = /^app (.+)$/.exec(part) ?? [];
    const [, mode] = /^mode (.+)$/.exec(part) ?? [];
    const [, reason] = /^reason (.+)$/.exec(part) ?? [];
    const [, seconds] = /^last input (\d+)s ago$/.exec(part) ?? [];
    if (app) found.version = app;
    if (mode) found.mode = mode;
    if (reason) found.reason = reason;
    if (seconds && Number.isSafeInteger(Number(seconds))) found.lastInputSeconds = Number(seconds);
  }
  return found;
}

/** The address other machines would use; loopback only when there is no other. */
export function primaryAddress(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) if (family === 'IPv4' && !internal) return address;
  }
  return '127.0.0.1';
}
