/** What the process was told by signals; those that came before anybody listened are handed over first. */
export interface SignalBox {
  listen(handler: (name: 'SIGTERM' | 'SIGINT' | 'SIGUSR1' | 'SIGHUP') => void): void;
}
