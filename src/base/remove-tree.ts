// Removes folders that images and containers have filled, which may be of any depth, closed to their owner, and have any bytes
// for names: what Node cannot remove, so the bootstrap does (native/remove.c).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmdir } from 'node:fs/promises';
import { messageOf, systemErrorCode } from './errors.ts';
import type { Logger } from './log.ts';
import { requireBootstrap } from './native.ts';

/** What could not be removed. It stays, and is tried again when the store is opened the next time. */
export interface Unremoved {
  readonly path: string;
  /** For each thing that is left a sentence with the error's name in parentheses; of many, the first. */
  readonly reasons: readonly string[];
}

/** Characters of stderr that are kept; a line of the bootstrap's is shorter. */
const stderrLimit = 8192;
const mostReasons = 8;

/**
 * Removes a file or a folder with all in it, if it is there. Never follows a symbolic link. Not bounded in time, but it ends
 * with this process.
 * @returns what is left and why, or undefined
 */
export async function removeTree(target: string): Promise<Unremoved | undefined> {
  try {
    // Most folders are empty, and need no process.
    await rmdir(target);
    return undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
  }
  try {
    // In a group of its own, so that an interrupt from the terminal goes only to this process, which waits for the removal.
    const child = spawn(requireBootstrap(), ['remove', target], { stdio: ['pipe', 'ignore', 'pipe'], detached: true });
    const closed = once(child, 'close') as Promise<[number | null]>;
    // Out of processes or descriptors, Node makes no streams, whatever their types say; `closed` is rejected.
    if (child.pid === undefined) await closed;
    child.stdin.on('error', () => undefined);
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(0, stderrLimit);
    });
    const [status] = await closed;
    return unremovedOf(target, status, stderr);
  } catch (error) {
    return { path: target, reasons: [messageOf(error)] };
  }
}

/**
 * What `bootstrap remove` left, by how it ended and what it wrote to stderr.
 * @param status null if it was killed
 */
export function unremovedOf(target: string, status: number | null, stderr: string): Unremoved | undefined {
  if (status === 0) return undefined;
  const lines = stderr.split('\n').filter(Boolean).slice(0, mostReasons);
  const reasons = lines.map((line) => line.replace(/^bootstrap: /, ''));
  return { path: target, reasons: reasons.length > 0 ? reasons : ['its removal was interrupted'] };
}

/** Says in the log what could not be removed. */
export function logUnremoved(logger: Logger, { path, reasons }: Unremoved): void {
  logger.warn({ path, reasons }, "could not be removed, and is tried again at the next start: see 'babelhost doctor'");
}
