// SIGKILL for a process of a container, from outside, whatever the processes beside it do to it.
import type { StartedProcess } from '../guard/reports.ts';
import type { Guard } from '../guard/guard.ts';
import { newContainerId } from '../id.ts';
import { beginning, connectToStarter } from '../guard/starter-connection.ts';

/** How long a process has to end when its channel is closed, before it is killed, and before that is tried again. */
const patienceMs = 2000;

/**
 * Has the guard's starter kill a process with its children. Not by its id from here: the guard may have reaped it without
 * our having read that yet, as after a second in which this thread was busy, and the id may be another's by then, of
 * whomever's on this machine. The starter holds the process first, and sees that it is the one that was started
 * (native/process.c). Where it cannot be asked, nothing is killed: the caller tries again.
 */
function askToKill(guard: Guard, process: StartedProcess): void {
  const request = beginning(newContainerId(), 'kill', [String(process.guardPid), process.startedAt]);
  connectToStarter(guard, request, () => undefined).resume();
}

/**
 * Kills a process if it does not end by itself soon, or at once, as often as it takes.
 * @param now whether nothing has asked it to end that it would hear
 * @returns to be called when it has been reaped
 */
export function keepKilling(guard: Guard, process: StartedProcess, now = false): () => void {
  if (process.pid === 0) return () => undefined;
  if (now) askToKill(guard, process);
  const timer = setInterval(() => {
    askToKill(guard, process);
  }, patienceMs);
  return () => {
    clearInterval(timer);
  };
}
