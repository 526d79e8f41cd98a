export type { Fault, FaultKind } from './faults.ts';
export type { FakeChat } from './person.ts';
export { type FakeBot, type FakeTelegram, startTelegram } from './server.ts';
export type { Line, SeenCall } from './types.ts';
