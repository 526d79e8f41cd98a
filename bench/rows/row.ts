/** One line of the results. */
export interface Row {
  what: string;
  /** As it is printed. */
  value: string;
  /** As it is printed, for comparison; empty when there is nothing to compare with. */
  compared: string;
  target: string;
  /** Whether the target is met. */
  met: boolean;
  /** Wide limit that a run in CI must not pass; absent when CI does not look. */
  gate?: boolean;
}

export const ratio = (value: number): string => `${value.toFixed(2)} ×`;
export const ms = (value: number): string => (value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`);
export const mb = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} MB`;
export const us = (value: number): string => `${value.toFixed(1)} µs`;
