/**
 * Where parts of the gateway find each other. A part offers its port when it is up and takes it back when it ends, so
 * nobody ever holds a reference to something that has been stopped: an unanswerable question is refused, not lost.
 */
import { unavailable } from '../protocol/errors.ts';

export class Ports<Table extends object> {
  readonly #offered = new Map<keyof Table, unknown>();

  /** @returns a function that withdraws exactly this offer; a successor's offer is left alone. */
  offer<K extends keyof Table>(name: K, port: Table[K]): () => void {
    this.#offered.set(name, port);
    return () => {
      if (this.#offered.get(name) === port) this.#offered.delete(name);
    };
  }

  find<K extends keyof Table>(name: K): Table[K] | undefined {
    return this.#offered.get(name) as Table[K] | undefined;
  }

  /** @throws GatewayError UNAVAILABLE (retryable) while the part is not up. */
  need<K extends keyof Table>(name: K): Table[K] {
    const port = this.find(name);
    if (port === undefined) throw unavailable(`${String(name)} is not up yet`, 1_000);
    return port;
  }
}
