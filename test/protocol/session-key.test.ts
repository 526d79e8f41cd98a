import { expect, it } from 'vitest';
import {
  agentOfSessionKey,
  canonicalSessionKey,
  type DmScope,
  kindOfSessionKey,
  madeSessionKey,
  mainSessionKey,
  normalizeAgentId,
  type PeerSource,
  type SessionDefaults,
  sessionKeyOf,
} from '../../src/protocol/session-key.ts';

const defaults: SessionDefaults = { defaultAgentId: 'main', mainKey: 'main', scope: 'per-sender' };
const whatsapp: PeerSource = { agentId: 'Work', channel: 'whatsapp', accountId: 'Biz', kind: 'dm', peer: '+15550001' };
const telegram: PeerSource = { agentId: 'main', channel: 'telegram', accountId: 'default', kind: 'group', peer: '-100123' };

it.each<[row: string, source: PeerSource, scope: DmScope, key: string]>([
  ['a DM, all in one', whatsapp, 'main', 'agent:work:main'],
  ['a DM, per peer', whatsapp, 'per-peer', 'agent:work:dm:+15550001'],
  ['a DM, per channel and peer', whatsapp, 'per-channel-peer', 'agent:work:whatsapp:dm:+15550001'],
  ['a DM, per account, channel and peer', whatsapp, 'per-account-channel-peer', 'agent:work:whatsapp:biz:dm:+15550001'],
  ['a group', telegram, 'main', 'agent:main:telegram:group:-100123'],
  ['a WhatsApp group', { ...whatsapp, kind: 'group', peer: '1203630@G.US' }, 'per-peer', 'agent:work:whatsapp:group:1203630@g.us'],
  ['a topic of a Telegram forum', { ...telegram, thread: '7' }, 'main', 'agent:main:telegram:group:-100123:topic:7'],
  ['a channel', { ...telegram, kind: 'channel', channel: 'Discord', peer: 'C042' }, 'main', 'agent:main:discord:channel:c042'],
  [
    'a thread of a channel',
    { ...telegram, kind: 'channel', channel: 'slack', peer: 'C042', thread: 'T9' },
    'main',
    'agent:main:slack:channel:c042:thread:t9',
  ],
])('A-006 %s has its own key', (_row, source, scope, key) => {
  expect(sessionKeyOf(source, scope, defaults)).toBe(key);
});

it('A-006 makes the keys of conversations that no chat began, and the main one of a client that names none', () => {
  expect(madeSessionKey.telegramSlash('42')).toBe('telegram:slash:42');
  expect(madeSessionKey.subagent('Main', '0B1C')).toBe('agent:main:subagent:0b1c');
  expect(madeSessionKey.cron('Daily')).toBe('cron:daily');
  expect(madeSessionKey.hook('0B1C')).toBe('hook:0b1c');
  expect(madeSessionKey.node('MacBook')).toBe('node-macbook');
  expect(mainSessionKey({ ...defaults, mainKey: 'Home' }, 'Work')).toBe('agent:work:home');
  expect(mainSessionKey(defaults)).toBe('agent:main:main');
});

it('A-006 has one key for everybody with the global scope', () => {
  const global: SessionDefaults = { ...defaults, scope: 'global' };
  for (const source of [whatsapp, telegram]) expect(sessionKeyOf(source, 'per-peer', global)).toBe('global');
  expect(mainSessionKey(global)).toBe('global');
  expect(canonicalSessionKey('main', global)).toBe('global');
});

it.each([
  ['main', 'agent:main:main'],
  ['MAIN', 'agent:main:main'],
  ['', 'agent:main:main'],
  ['  Some-Key ', 'agent:main:some-key'],
  ['group:-100123', 'agent:main:group:-100123'],
  ['Agent:Work:Main', 'agent:work:main'],
  ['agent:work:telegram:dm:7', 'agent:work:telegram:dm:7'],
  ['agent::x', 'agent:main:x'],
  ['agent:Odd Name!:x', 'agent:odd-name-:x'],
  ['Global', 'global'],
  ['unknown', 'unknown'],
])('reads the key %j as %j, and reading it again changes nothing', (written, key) => {
  expect(canonicalSessionKey(written, defaults)).toBe(key);
  expect(canonicalSessionKey(key, defaults)).toBe(key);
});

it('knows a main key of another name, and `main` as its alias', () => {
  const home = { ...defaults, mainKey: 'Home' };
  for (const written of ['main', 'home', 'HOME', 'agent:main:main', 'agent:main:home'])
    expect(canonicalSessionKey(written, home)).toBe('agent:main:home');
});

it.each([
  ['Main', 'main'],
  ['my agent', 'my-agent'],
  ['--x', 'x'],
  ['', 'main'],
  ['!!!', 'main'],
  ['a'.repeat(80), 'a'.repeat(64)],
])('makes the agent id %j into %j', (id, clean) => {
  expect(normalizeAgentId(id)).toBe(clean);
  expect(clean).toMatch(/^[a-z0-9][a-z0-9_-]{0,63}$/);
});

it('tells from a key whose it is and of which kind', () => {
  expect(agentOfSessionKey('agent:work:main', defaults)).toBe('work');
  expect(agentOfSessionKey('global', defaults)).toBe('main');
  const kinds = ['agent:main:main', 'agent:main:telegram:group:-1', 'agent:main:slack:channel:c', 'global', 'unknown'].map(
    kindOfSessionKey,
  );
  expect(kinds).toEqual(['direct', 'group', 'group', 'global', 'unknown']);
});
