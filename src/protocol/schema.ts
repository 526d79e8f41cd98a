/**
 * The protocol as one JSON Schema document, made of the very objects that the validators are compiled from. Names and order
 * of the definitions are those that shipping clients were generated from; ours follow at the end.
 */
import * as frames from './frames.ts';
import { methods } from './methods/index.ts';

/** Definitions that exist outside, in their order; those of methods that are not served yet are left out. */
const knownOrder = `ConnectParams HelloOk RequestFrame ResponseFrame EventFrame GatewayFrame PresenceEntry StateVersion Snapshot ErrorShape
  AgentEvent SendParams AgentParams AgentWaitParams NodePairRequestParams NodePairListParams NodePairApproveParams
   NodePairRejectParams NodePairVerifyParams NodeRenameParams NodeListParams NodeDescribeParams NodeInvokeParams
   NodeInvokeResultParams NodeEventParams NodeInvokeRequestEvent SessionsListParams ConfigGetParams ConfigSetParams
   ConfigApplyParams ConfigPatchParams ConfigSchemaParams ModelsListParams SkillsBinsParams LogsTailParams ChatHistoryParams
   ChatSendParams ChatAbortParams ChatEvent UpdateRunParams TickEvent ShutdownEvent`.split(/\s+/);

/** Apps send whatever they like with these, so their params have no definition. */
const looseMethods = new Set(['health', 'status', 'system-presence', 'system-event']);

/** `chat.history` → `ChatHistoryParams` */
export const paramsName = (method: string): string =>
  `${method
    .split(/[^A-Za-z0-9]+/)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('')}Params`;

export function definitions(): Record<string, object> {
  const all: Record<string, object> = {
    ConnectParams: frames.connectParams,
    HelloOk: frames.helloOk,
    RequestFrame: frames.requestFrame,
    ResponseFrame: frames.responseFrame,
    EventFrame: frames.eventFrame,
    GatewayFrame: frames.gatewayFrame,
    PresenceEntry: frames.presenceEntry,
    StateVersion: frames.stateVersion,
    Snapshot: frames.snapshot,
    ErrorShape: frames.errorShape,
    AgentEvent: frames.agentEvent,
    NodeInvokeRequestEvent: frames.nodeInvokeRequestEvent,
    ChatEvent: frames.chatEvent,
    TickEvent: frames.tickEvent,
    ShutdownEvent: frames.shutdownEvent,
    ...Object.fromEntries(
      [...methods.values()].filter(({ name }) => !looseMethods.has(name)).map(({ name, params }) => [paramsName(name), params]),
    ),
  };
  const names = [
    ...knownOrder,
    ...Object.keys(all)
      .filter((name) => !knownOrder.includes(name))
      .sort(),
  ];
  return Object.fromEntries(
    names.map((name) => {
      const schema = all[name];
      if (schema === undefined) throw new Error(`the protocol has no definition ${name}`);
      return [name, schema];
    }),
  );
}

export function schemaDocument(): object {
  const reference = (name: string) => `#/definitions/${name}`;
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    $id: 'https://openclaw.ai/protocol.schema.json',
    title: 'OpenClaw gateway protocol',
    description: 'Every frame and every payload that crosses the WebSocket of the gateway, protocol version 3.',
    oneOf: ['RequestFrame', 'ResponseFrame', 'EventFrame'].map((name) => ({ $ref: reference(name) })),
    discriminator: {
      propertyName: 'type',
      mapping: { req: reference('RequestFrame'), res: reference('ResponseFrame'), event: reference('EventFrame') },
    },
    definitions: definitions(),
  };
}
