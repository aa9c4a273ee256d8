// SIGKILL for a container's process 1 that does not end when its channel is closed, as when somebody has stopped it.
import type { GuestProcess } from './control.ts';
import type { Guard } from './guard.ts';
import { newContainerId } from './id.ts';
import { connectToStarter, header } from './starter-connection.ts';

/**
 * Has the guard's starter kill a process. Not by its id from here: the guard may have reaped it without our having read
 * that yet, as after a second in which this thread was busy, and the id may be another's by then, of whomever's on this
 * machine. The starter holds the process first, and sees that it is the one that was started (native/process.c). Where
 * it cannot be asked, nothing is killed: the caller tries again.
 */
export function killProcess(guard: Guard, process: GuestProcess): void {
  if (process.pid === 0) return;
  const request = header([String(process.guardPid), process.startedAt]);
  connectToStarter(guard, `${newContainerId()} k ${request}`, () => undefined).resume();
}
