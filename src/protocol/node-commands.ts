/**
 * Which commands a node may be asked for (protocol 7.2): those that suit its platform, with what the configuration adds and
 * takes away. Whatever else a node declares is as if it had not said it.
 */
const words = (text: string) => text.split(/\s+/);

const canvas = words(
  'canvas.present canvas.hide canvas.navigate canvas.eval canvas.snapshot canvas.a2ui.push canvas.a2ui.pushJSONL canvas.a2ui.reset',
);
const camera = words('camera.list camera.snap camera.clip');
const system = words('system.run system.which system.notify system.execApprovals.get system.execApprovals.set browser.proxy');
const [screen, location, sms] = [['screen.record'], ['location.get'], ['sms.send']];

const defaults = {
  ios: [canvas, camera, screen, location],
  android: [canvas, camera, screen, location, sms],
  macos: [canvas, camera, screen, location, system],
  linux: [system],
  windows: [system],
  unknown: [canvas, camera, screen, location, sms, system],
} as const satisfies Record<string, readonly (readonly string[])[]>;

type Platform = keyof typeof defaults;

const byPrefix: readonly (readonly [prefix: string, Platform])[] = [
  ['ios', 'ios'],
  ['android', 'android'],
  ['mac', 'macos'],
  ['darwin', 'macos'],
  ['win', 'windows'],
  ['linux', 'linux'],
];
const byFamily: readonly (readonly [part: string, Platform])[] = [
  ['iphone', 'ios'],
  ['ipad', 'ios'],
  ['ios', 'ios'],
  ['android', 'android'],
  ['mac', 'macos'],
  ['windows', 'windows'],
  ['linux', 'linux'],
];

export interface NodeMachine {
  platform: string;
  deviceFamily?: string;
}

function platformOf({ platform, deviceFamily = '' }: NodeMachine): Platform {
  const name = platform.trim().toLowerCase();
  const family = deviceFamily.toLowerCase();
  const found = byPrefix.find(([prefix]) => name.startsWith(prefix)) ?? byFamily.find(([part]) => family.includes(part));
  return found?.[1] ?? 'unknown';
}

export interface CommandRules {
  allowCommands: readonly string[];
  denyCommands: readonly string[];
}

export function allowedCommands(machine: NodeMachine, { allowCommands, denyCommands }: CommandRules): ReadonlySet<string> {
  const allowed = new Set<string>([...defaults[platformOf(machine)].flat(), ...allowCommands.map((name) => name.trim())]);
  for (const name of denyCommands) allowed.delete(name.trim());
  return allowed;
}

/** Why a command may not be sent; the first reason counts. */
export function whyNot(command: string, allowed: ReadonlySet<string>, declared: readonly string[]): string | undefined {
  if (!allowed.has(command)) return 'command not allowlisted';
  if (declared.length === 0) return 'node did not declare commands';
  return declared.includes(command) ? undefined : 'command not declared by node';
}
