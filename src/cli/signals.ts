// SIGINT, SIGTERM and SIGHUP: the first cancels, and the program cleans up; a second one ends it at once. After cleaning up
// the program kills itself by the signal: its shell then knows, and ends a loop that it ran in.
import process from 'node:process';

const handled = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface SignalWatch {
  /** The signal that came, if any did. */
  readonly received: NodeJS.Signals | undefined;
  /** Kills the process by the signal that came; does nothing where none did, or where it was `answered`. */
  raise(): void;
  /** For a command that ends properly on a signal, as a server does: the exit status is then its own. */
  answered(): void;
}

/** Aborts `controller` at the first signal. */
export function watchSignals(controller: AbortController): SignalWatch {
  let received: NodeJS.Signals | undefined;
  let answered = false;
  const die = (signal: NodeJS.Signals): void => {
    for (const name of handled) process.removeListener(name, onSignal);
    process.kill(process.pid, signal);
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    // Containers end with the process, however it ends: dying here leaves nothing behind.
    if (received !== undefined) die(signal);
    received ??= signal;
    controller.abort(signal);
  };
  for (const name of handled) process.on(name, onSignal);
  return {
    get received() {
      return received;
    },
    raise() {
      if (received !== undefined && !answered) die(received);
    },
    answered() {
      answered = true;
    },
  };
}
