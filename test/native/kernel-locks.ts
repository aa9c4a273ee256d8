// What the kernel tells of locks (proc_locks(5)).
import { readFile, stat } from 'node:fs/promises';
import { patienceMs } from './tracing.ts';

/** Waits until a process is blocked that wants the lock on `file`. */
export async function somebodyWaitsFor(file: string): Promise<void> {
  const { ino } = await stat(file);
  for (const began = performance.now(); performance.now() - began < patienceMs;) {
    const locks = await readFile('/proc/locks', 'utf8');
    if (locks.split('\n').some((line) => line.includes('->') && line.includes(`:${ino} `))) return;
  }
  throw new Error(`Nobody waits for the lock on ${file}.`);
}
