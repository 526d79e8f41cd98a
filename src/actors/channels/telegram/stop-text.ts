/** What a chat is told after it asked to stop. */
export const fromStop = (runs: number): string =>
  runs === 0 ? 'There was nothing to stop.' : runs === 1 ? 'Stopped.' : `Stopped ${runs} runs.`;
