// Lock processes, found by what they lock.
import { readdir, readFile } from 'node:fs/promises';

/** The processes whose command line names `file`. */
export async function lockProcesses(file: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.split('\0').includes(file)) found.push(Number(pid));
  }
  return found;
}
