// Names a process so that others can tell whether it has ended: its id alone may be another's by now, or that of a process in
// another pid namespace. Reads /proc.
import { readFileSync, readlinkSync } from 'node:fs';
import { processExists } from '../../base/process-exists.ts';

/** This process: its id, when it began (in the kernel's clock ticks), and its pid namespace. Without dots and slashes. */
export function ownIdentity(): string {
  return [process.pid, statOf('self')?.began ?? '', pidNamespace()].join('_');
}

/** Whether the process with this identity has ended. False where that cannot be told, as of one in another namespace. */
export function hasEnded(identity: string): boolean {
  const [, pid = '', began, namespace] = /^(\d+)_(\d+)_(\d+)$/.exec(identity) ?? [];
  if (pid === '' || namespace !== pidNamespace()) return false;
  if (!processExists(Number(pid))) return true;
  // Of other users' processes, /proc may be kept from us.
  const found = statOf(pid);
  return found !== undefined && (found.began !== began || found.state === 'Z');
}

function pidNamespace(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '';
}

/** The state and the time of a process (proc_pid_stat(5)); undefined if there is none to be seen. */
function statOf(pid: string): { state: string | undefined; began: string | undefined } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The second field is a name in parentheses, which may have any in it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0], began: fields[19] };
}
