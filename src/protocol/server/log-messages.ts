// The host's log to a client that asked for it: `$/setTrace`, `window/logMessage`.
import type { LogLine, LogRelay } from '../../base/log.ts';

export class LogMessages {
  readonly #relay: LogRelay;
  readonly #send: (line: LogLine) => void;
  #stop: (() => void) | undefined;

  constructor(relay: LogRelay, send: (line: LogLine) => void) {
    this.#relay = relay;
    this.#send = send;
  }

  /** @param value of LSP's TraceValue: anything but `off` asks for the log */
  setTrace(value: string): void {
    this.end();
    if (value !== 'off') this.#stop = this.#relay.subscribe(this.#send);
  }

  end(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}
