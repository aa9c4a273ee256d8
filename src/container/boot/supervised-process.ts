// A process of ours in a container, followed to its end: process 1, or the one that a further process runs under or is.
import type { Guard } from '../guard/guard.ts';
import type { Launched } from './launch.ts';
import type { StartedProcess } from '../guard/reports.ts';
import { beginning, connectToStarter } from '../guard/starter-connection.ts';
import { newContainerId } from '../id.ts';
import { confirmedEnd, endOf } from './exit.ts';
import type { EndReport } from './channel.ts';

/** A command under native/init, which reports how it ended, or native/init itself as one, which does not. */
export type ExecutionKind = 'command' | 'init';

/** How long a process has to end when its channel is closed before it is killed, and between attempts to kill it. */
const killIntervalMs = 2000;

export class SupervisedProcess {
  /** How it ended, once the guard has reaped it; undefined where that is not known. Never rejects. */
  readonly ended: Promise<EndReport | undefined>;
  readonly #guard: Guard;
  readonly #launched: Launched;
  readonly #kind: ExecutionKind;
  readonly #reaped: Promise<number | undefined>;
  #isReaped = false;
  #wasKilled = false;

  constructor(guard: Guard, launched: Launched, kind: ExecutionKind) {
    const { channel, process } = launched;
    this.#guard = guard;
    this.#launched = launched;
    this.#kind = kind;
    this.#reaped = guard.waitForExit(process.guardPid).then((status) => {
      this.#isReaped = true;
      return status;
    });
    this.ended = this.#reaped.then(async (status) => {
      await channel.finish();
      return kind === 'command' ? confirmedEnd(channel.last, status) : endOf(status);
    });
  }

  /** Whether it has been reaped: its ids may be another process's. */
  isReaped(): boolean {
    return this.#isReaped;
  }

  /** Whether its end was asked for with `kill`. */
  wasKilled(): boolean {
    return this.#wasKilled;
  }

  /** Sends a signal to the command and its group. */
  signal(number: number): void {
    if (!this.#isReaped) this.#launched.channel.signal(number);
  }

  /** Ends it, with SIGKILL if it does not end by itself. @returns false if it is ending or has ended already */
  kill(): boolean {
    if (this.#isReaped || this.#wasKilled) return false;
    this.#wasKilled = true;
    this.#launched.channel.close();
    keepKilling(this.#guard, this.#launched.process, this.#reaped, this.#kind === 'init');
    return true;
  }
}

/**
 * Kills a process, and its children, until it has been reaped.
 * @param now whether to begin at once: it does not end by itself when its channel is closed
 */
export function keepKilling(guard: Guard, process: StartedProcess, reaped: Promise<unknown>, now: boolean): void {
  if (process.pid === 0) return;
  if (now) askToKill(guard, process);
  const timer = setInterval(() => {
    askToKill(guard, process);
  }, killIntervalMs);
  void reaped.then(() => {
    clearInterval(timer);
  });
}

/**
 * Asks the guard's starter to kill a process with its children. Not by its id from here: the guard may have reaped it
 * without our having read that yet, and the id may be another process's by then. The starter holds the process first, and
 * checks that it is the one that was started (native/process.c). If it cannot be asked, nothing is killed this time.
 */
function askToKill(guard: Guard, process: StartedProcess): void {
  const request = beginning(newContainerId(), 'kill', [String(process.guardPid), process.startedAt]);
  connectToStarter(guard, request, () => undefined).resume();
}
