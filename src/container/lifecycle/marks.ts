// Names of files that say who is at work on a definition: the process that makes a file or folder, and the host that runs
// a container. They tell what a dead process has left from what a living one is working on.
import { randomUUID } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';

/** The names in a folder; none if it is not there. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** When a process was started, in the kernel's ticks since boot (proc_pid_stat(5)); undefined if it has ended. */
async function startOf(pid: number | 'self'): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** A unique name that tells this process by its id and its start: ids of processes are reused. */
export async function stampedName(): Promise<string> {
  return `${process.pid}-${(await startOf('self')) ?? ''}-${randomUUID()}`;
}

/** Whether the process still runs that made a file or folder named `.<kind>-<stampedName>`. */
export async function stampLives(name: string): Promise<boolean> {
  const [, pid = '', start] = name.split('-');
  return start !== undefined && (await startOf(Number(pid))) === start;
}

const prefix = 'running.';

/** The hosts, by the names of their folders, that have marked a container as theirs. They may be dead. */
async function markedBy(folder: string): Promise<string[]> {
  return (await namesIn(folder)).flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
}

/**
 * Marks a container as run by this host, so that no other host on the same store runs it too.
 * @param folder the container's
 * @param hostFolder this host's own among the hosts' folders: each is there while its host's guard lives, and those of
 * dead hosts were removed when this host's guard was started
 * @returns what removes the mark
 * @throws BabelhostError `conflict` if another host runs it. Of two that try at once both may fail, but never none.
 */
export async function takeRunningMark(folder: string, hostFolder: string): Promise<() => Promise<void>> {
  const own = path.basename(hostFolder);
  const remove = (host: string) => rm(path.join(folder, `${prefix}${host}`), { force: true });
  await writeFile(path.join(folder, `${prefix}${own}`), '', { mode: 0o600 });
  const others = (await markedBy(folder)).filter((host) => host !== own);
  // Read after the marks: a host has its folder before it marks anything.
  const living = await namesIn(path.dirname(hostFolder));
  for (const host of others) {
    if (living.includes(host)) {
      await remove(own);
      const id = path.basename(folder);
      throw new BabelhostError('conflict', `Another babelhost on this store runs the container ${id}.`, { id });
    }
    await remove(host);
  }
  return () => remove(own);
}

/**
 * Whether another host runs the container.
 * @param hostFolder finds this host's folder, as takeRunningMark has it; called only if there is any mark
 */
export async function runsElsewhere(folder: string, hostFolder: () => Promise<string>): Promise<boolean> {
  if ((await markedBy(folder)).length === 0) return false;
  const own = await hostFolder();
  const living = await namesIn(path.dirname(own));
  return (await markedBy(folder)).some((host) => host !== path.basename(own) && living.includes(host));
}
