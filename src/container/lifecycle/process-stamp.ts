// Who made what lies half made: a process, told in the name of the file or folder, so that what a dead one left can be
// told from what a living one is at.
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** When a process was started, in the kernel's ticks since boot (proc_pid_stat(5)); undefined if it is gone. */
async function startOf(pid: number | 'self'): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** A name that nobody else makes, and that tells which process did: ids of processes are reused, with another start. */
export async function stampedName(): Promise<string> {
  return `${process.pid}-${(await startOf('self')) ?? ''}-${randomUUID()}`;
}

/** Whether the process that made something, by the name that `makerName` gave it, still runs. */
export async function stampLives(name: string): Promise<boolean> {
  const [, pid = '', start] = name.split('-');
  return start !== undefined && (await startOf(Number(pid))) === start;
}
