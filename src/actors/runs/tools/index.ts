/** The tools an agent may use, and the one way to run them: arguments are checked first, and a failure is a result. */
import type { Config } from '../../../protocol/config/types.ts';
import { describeErrors, validatorOf } from '../../../protocol/validate.ts';
import type { Tool, ToolResult, ToolScope } from '../models/contract.ts';
import type { StorePort } from '../../store/contract.ts';
import type { CommandGroups } from './command-groups.ts';
import { execTool } from './exec.ts';
import { noteTools } from './notes.ts';
import { statusTools } from './status.ts';

export interface ToolPorts {
  store(): StorePort;
  status(): Promise<string>;
  sessions(): Promise<string>;
  now(): number;
  workspace: string;
  exec: Config['tools']['exec'];
  env: Record<string, string | undefined>;
  groups: CommandGroups;
}

export const createTools = (ports: ToolPorts): Tool[] => [
  ...(ports.exec.security === 'deny' ? [] : [execTool(ports)]),
  ...noteTools(ports),
  ...statusTools(ports),
];

const maxResultCharacters = 200_000;

export async function runTool(
  tools: readonly Tool[],
  call: { name: string; arguments: Record<string, unknown> },
  scope: ToolScope,
): Promise<ToolResult> {
  const tool = tools.find(({ name }) => name === call.name);
  if (tool === undefined) return { text: `There is no tool called ${call.name.slice(0, 64)}.`, isError: true };
  const validate = validatorOf(`tool:${tool.name}`, tool.parameters);
  if (!validate(call.arguments)) return { text: `The arguments do not fit: ${describeErrors(validate.errors)}`, isError: true };
  try {
    const { text, isError } = await tool.execute(call.arguments, scope);
    return { text: text.length > maxResultCharacters ? `${text.slice(0, maxResultCharacters)}\n[cut]` : text, isError };
  } catch (error) {
    // A tool that breaks is a tool result: the model can say so, and the turn goes on.
    return { text: `The tool failed: ${error instanceof Error ? error.message.slice(0, 200) : 'unknown reason'}`, isError: true };
  }
}
