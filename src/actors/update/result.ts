/** How an update went, as clients know it; and the little that all ways of updating share. */
import type { InstallKind } from './install.ts';
import { type Finished, runStep, type Step, type StepPorts } from './step.ts';

export interface Version {
  sha?: string;
  version?: string;
}

export interface UpdateResult {
  status: 'ok' | 'error' | 'skipped';
  mode: InstallKind;
  root?: string;
  /** Why there was nothing to do, or what went wrong. */
  reason?: string;
  before?: Version;
  after?: Version;
  steps: Step[];
  durationMs: number;
}

/** Without its duration: that is measured around it. */
export type Outcome = Omit<UpdateResult, 'durationMs' | 'mode' | 'root' | 'steps'>;

export type Run = (name: string, argv: readonly [program: string, ...args: string[]]) => Promise<Finished>;

/** Thrown by whoever cannot go on. */
export class Ended extends Error {
  readonly outcome: Outcome;
  constructor(status: 'error' | 'skipped', reason: string) {
    super(reason);
    this.outcome = { status, reason };
  }
}

/** Runs programs in a folder and notes each of them. */
export const runner =
  (cwd: string, ports: StepPorts, steps: Step[]): Run =>
  async (name, argv) => {
    const finished = await runStep(name, argv, cwd, ports);
    steps.push(finished.step);
    return finished;
  };

/** @throws Ended when the program fails. */
export async function must(run: Run, name: string, argv: readonly [program: string, ...args: string[]]): Promise<string> {
  const { ok, output, step } = await run(name, argv);
  if (ok) return output;
  throw new Ended('error', step.exitCode === null ? `${name} did not end in time or could not be started` : `${name} failed`);
}
