/** The process groups of commands that are running: the end of this process is the end of them, whatever they think of SIGTERM. */
export interface CommandGroups {
  add(group: number): void;
  delete(group: number): void;
}

/** Made once for the process. */
export function createCommandGroups(): CommandGroups {
  const groups = new Set<number>();
  process.on('exit', () => {
    for (const group of groups) killGroup(group, 'SIGKILL');
  });
  return groups;
}

export function killGroup(group: number, name: NodeJS.Signals): void {
  try {
    process.kill(-group, name);
  } catch {
    // The group is gone already.
  }
}
