/** Limits both ends of the socket rely on, with where each comes from. */
export const limits = {
  /** A client that has not proven itself gets no more memory than this (protocol D-20). */
  maxPayloadBeforeHello: 64 * 1024,
  maxPayload: 8 * 1024 * 1024,
  maxBufferedBytes: 8 * 1024 * 1024,
  tickIntervalMs: 30_000,
  handshakeMs: 10_000,
  /** A close reason is cut by bytes: the RFC allows 123. */
  closeReasonBytes: 120,
  /** Largest frame a client of ours accepts. */
  clientMaxPayload: 25 * 1024 * 1024,
} as const;

/** Cuts a close reason so that it stays valid UTF-8 within the limit. */
export function closeReason(reason: string): string {
  const bytes = new TextEncoder().encode(reason);
  if (bytes.length <= limits.closeReasonBytes) return reason;
  // A cut inside a character decodes to U+FFFD, which is dropped again.
  return new TextDecoder().decode(bytes.subarray(0, limits.closeReasonBytes)).replace(/\uFFFD+$/, '');
}
