// Removing what images and containers have filled, which may be of any depth, closed to its owner, or named by any bytes.
// The bootstrap does it (native/remove.c): by their paths, and with Node, some of it could not be removed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmdir } from 'node:fs/promises';
import { messageOf, systemErrorCode } from './errors.ts';
import type { Logger } from './log.ts';
import { requireBootstrap } from './native.ts';

/** What could not be removed. It stays where it is, and is tried again when the store is opened the next time. */
export interface Unremoved {
  /** What was to be removed. */
  readonly path: string;
  /** A sentence for each thing in it that is left, with the name of the error in parentheses; of many, the first. */
  readonly reasons: readonly string[];
}

/** Complaints are kept up to there, in characters; a line of the bootstrap's is shorter. */
const complaintLength = 8192;
const mostReasons = 8;

/**
 * Removes a file or a folder with all in it; nothing to do if it is not there. Never follows a symbolic link. Takes as
 * long as there are files: nothing bounds it, but it ends with this process.
 * @returns what is left and why, or undefined
 */
export async function removeTree(target: string): Promise<Unremoved | undefined> {
  try {
    // Most folders are empty by then, and to start a process costs Node milliseconds.
    await rmdir(target);
    return undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
  }
  try {
    // In a group of its own: an interrupt from the terminal is this process's to handle, and it waits for the removal.
    const child = spawn(requireBootstrap(), ['remove', target], { stdio: ['pipe', 'ignore', 'pipe'], detached: true });
    const closed = once(child, 'close') as Promise<[number | null]>;
    // Without processes or descriptors to spare there are no streams, whatever their types say: `closed` is rejected.
    if (child.pid === undefined) await closed;
    child.stdin.on('error', () => undefined);
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(0, complaintLength);
    });
    const [status] = await closed;
    return unremovedOf(target, status, complaint);
  } catch (error) {
    return { path: target, reasons: [messageOf(error)] };
  }
}

/**
 * What `bootstrap remove` left, by how it ended and what it wrote to stderr.
 * @param status null if it was killed
 */
export function unremovedOf(target: string, status: number | null, complaint: string): Unremoved | undefined {
  if (status === 0) return undefined;
  const lines = complaint.split('\n').filter(Boolean).slice(0, mostReasons);
  const reasons = lines.map((line) => line.replace(/^bootstrap: /, ''));
  return { path: target, reasons: reasons.length > 0 ? reasons : ['its removal was interrupted'] };
}

/** Says in the log what could not be removed. */
export function logUnremoved(logger: Logger, { path, reasons }: Unremoved): void {
  logger.warn({ path, reasons }, "could not be removed, and is tried again at the next start: see 'babelhost doctor'");
}
