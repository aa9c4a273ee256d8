// How much memory of a process is resident, by what the kernel tells.
import { readFile } from 'node:fs/promises';

/** Now, or at most since its program was executed, in MB. The maximum of getrusage(2) has what its parent had, too. */
export async function residentMegabytes(pid: number, when: 'now' | 'at most'): Promise<number> {
  const field = when === 'now' ? 'VmRSS' : 'VmHWM';
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
}
