import { expect, it } from 'vitest';
import { canonicalSessionKey, mainSessionKey, type PeerSource, sessionKeyOf, type DmScope } from '../../src/protocol/session-key.ts';

const defaults = { defaultAgentId: 'Main', mainKey: 'Main', scope: 'per-sender' } as const;
const dm: PeerSource = { agentId: 'Work', channel: 'Telegram', accountId: 'Biz', kind: 'dm', peer: 'Bob' };

it.each<[scope: DmScope, source: Partial<PeerSource>, key: string]>([
  ['main', {}, 'agent:work:main'],
  ['per-peer', {}, 'agent:work:dm:bob'],
  ['per-channel-peer', {}, 'agent:work:telegram:dm:bob'],
  ['per-account-channel-peer', {}, 'agent:work:telegram:biz:dm:bob'],
  ['main', { kind: 'group', peer: '-100A' }, 'agent:work:telegram:group:-100a'],
  ['main', { channel: 'telegram', kind: 'group', peer: '-100', thread: 'T9' }, 'agent:work:telegram:group:-100:topic:t9'],
  ['main', { channel: 'Discord', kind: 'channel', peer: 'C1' }, 'agent:work:discord:channel:c1'],
  ['main', { channel: 'Discord', kind: 'channel', peer: 'C1', thread: 'T1' }, 'agent:work:discord:channel:c1:thread:t1'],
])('names a conversation in scope %s with %j: %s', (scope, source, key) => {
  expect(sessionKeyOf({ ...dm, ...source }, scope, defaults)).toBe(key);
});

it('reads the short spellings of a key, and shares one key in global scope', () => {
  expect(mainSessionKey(defaults)).toBe('agent:main:main');
  expect(['main', 'MAIN', ''].map((key) => canonicalSessionKey(key, defaults))).toEqual(Array(3).fill('agent:main:main'));
  expect(canonicalSessionKey('Telegram:Group:5', defaults)).toBe('agent:main:telegram:group:5');
  expect(canonicalSessionKey('agent:Work:SubAgent:X', defaults)).toBe('agent:work:subagent:x');
  expect(sessionKeyOf(dm, 'per-peer', { ...defaults, scope: 'global' })).toBe('global');
});
