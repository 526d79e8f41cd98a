/** Every method this gateway serves. A new one is its file and its line here. */
import type { MethodRow } from '../method.ts';
import { agent } from './agent.ts';
import { agentWait } from './agent-wait.ts';
import { chatAbort } from './chat-abort.ts';
import { chatHistory } from './chat-history.ts';
import { chatSend } from './chat-send.ts';
import { configApply } from './config-apply.ts';
import { configGet } from './config-get.ts';
import { configPatch } from './config-patch.ts';
import { configSchema } from './config-schema.ts';
import { configSet } from './config-set.ts';
import { health } from './health.ts';
import { inspectorHistory } from './inspector-history.ts';
import { inspectorTree } from './inspector-tree.ts';
import { logsTail } from './logs-tail.ts';
import { modelsList } from './models-list.ts';
import { nodeDescribe } from './node-describe.ts';
import { nodeEvent } from './node-event.ts';
import { nodeInvoke } from './node-invoke.ts';
import { nodeInvokeResult } from './node-invoke-result.ts';
import { nodeList } from './node-list.ts';
import { nodePairApprove } from './node-pair-approve.ts';
import { nodePairList } from './node-pair-list.ts';
import { nodePairReject } from './node-pair-reject.ts';
import { nodePairRequest } from './node-pair-request.ts';
import { nodePairVerify } from './node-pair-verify.ts';
import { nodeRename } from './node-rename.ts';
import { send } from './send.ts';
import { sessionsList } from './sessions-list.ts';
import { skillsBins } from './skills-bins.ts';
import { status } from './status.ts';
import { systemEvent } from './system-event.ts';
import { systemPresence } from './system-presence.ts';
import { updateRun } from './update-run.ts';

const rows: readonly MethodRow[] = [
  agent,
  agentWait,
  chatAbort,
  chatHistory,
  chatSend,
  configApply,
  configGet,
  configPatch,
  configSchema,
  configSet,
  health,
  inspectorHistory,
  inspectorTree,
  logsTail,
  modelsList,
  nodeDescribe,
  nodeEvent,
  nodeInvoke,
  nodeInvokeResult,
  nodeList,
  nodePairApprove,
  nodePairList,
  nodePairReject,
  nodePairRequest,
  nodePairVerify,
  nodeRename,
  send,
  sessionsList,
  skillsBins,
  status,
  systemEvent,
  systemPresence,
  updateRun,
];

export const methods: ReadonlyMap<string, MethodRow> = new Map(rows.map((row) => [row.name, row]));
