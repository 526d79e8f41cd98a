/** The table of protocol 7.2. */
import { expect, it } from 'vitest';
import { allowedCommands } from '../../src/protocol/node-commands.ts';

const none = { allowCommands: [], denyCommands: [] };
/** One command of each group. */
const groups = {
  canvas: 'canvas.a2ui.push',
  camera: 'camera.clip',
  screen: 'screen.record',
  location: 'location.get',
  sms: 'sms.send',
  system: 'browser.proxy',
};

it.each([
  [{ platform: 'iOS 18.1' }, 'canvas camera screen location'],
  [{ platform: 'iPadOS 18.1', deviceFamily: 'iPad' }, 'canvas camera screen location'],
  [{ platform: ' Android 15' }, 'canvas camera screen location sms'],
  [{ platform: 'macOS 15.1.0' }, 'canvas camera screen location system'],
  [{ platform: 'darwin' }, 'canvas camera screen location system'],
  [{ platform: 'linux', deviceFamily: 'Android' }, 'system'],
  [{ platform: 'Windows 11' }, 'system'],
  [{ platform: 'win32' }, 'system'],
  [{ platform: 'kernel', deviceFamily: 'Linux' }, 'system'],
  [{ platform: 'web' }, 'canvas camera screen location sms system'],
])('%j may be asked for: %s', (machine, expected) => {
  const allowed = allowedCommands(machine, none);
  const found = Object.entries(groups).flatMap(([group, command]) => (allowed.has(command) ? [group] : []));
  expect(found.join(' ')).toBe(expected);
});

it('what is taken away wins over what is added, and blanks around a name do not count', () => {
  const allowed = allowedCommands({ platform: 'linux' }, { allowCommands: [' x.y ', 'a.b'], denyCommands: ['a.b ', 'system.run'] });
  expect([allowed.has('x.y'), allowed.has('a.b'), allowed.has('system.run'), allowed.has('system.which')]).toEqual([
    true,
    false,
    false,
    true,
  ]);
});
