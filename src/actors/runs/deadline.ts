/** How long a run may take: what its request says, or else the configured time. */

/** Nobody waits longer than a day, and a timer of Node cannot be set for longer than 24 days. */
const longestMs = 24 * 3_600_000;

export const deadlineOf = (requestedMs: number | undefined, configuredMs: number): number =>
  Math.min(requestedMs ?? configuredMs, longestMs);
