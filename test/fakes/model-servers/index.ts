/** Fake model servers for tests: real sockets on loopback, scripted answers. */
export { type BlackHole, refusedPort, startBlackHole } from './black-hole.ts';
export type { Fault, ListedModel, Reply, ScriptedCall } from './script.ts';
export { type ModelServer, type SeenRequest, startModelServer } from './server.ts';
