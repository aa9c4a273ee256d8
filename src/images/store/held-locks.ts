// Which files are locked now, as /proc/locks tells (proc_locks(5)): looking costs a tenth of a millisecond, where trying a
// lock takes a process. What is not told, such as a lock of another pid namespace's process or one on a file system whose
// files have other device numbers than itself (btrfs), has to be tried.
import { readFile, stat } from 'node:fs/promises';

/** The files that are locked by flock(2), as `major:minor:inode`. */
export function parseLocks(text: string): ReadonlySet<string> {
  const held = new Set<string>();
  for (const line of text.split('\n')) {
    // `4: FLOCK  ADVISORY  WRITE 21525 fe:00:9978577 0 EOF`; one that waits for a lock has `->` after its number.
    const [, major = '', minor = '', inode = ''] =
      /^\d+: FLOCK +\w+ +WRITE +\d+ +([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line) ?? [];
    if (inode !== '') held.add(`${parseInt(major, 16)}:${parseInt(minor, 16)}:${inode}`);
  }
  return held;
}

/** Reads them; none where the kernel does not tell. */
export async function heldLocks(): Promise<ReadonlySet<string>> {
  try {
    return parseLocks(await readFile('/proc/locks', 'latin1'));
  } catch {
    return new Set();
  }
}

/** The file's name in `parseLocks`. */
export async function lockName(file: string): Promise<string> {
  const { dev, ino } = await stat(file, { bigint: true });
  // makedev(3): the parts of a number lie on both sides of each other.
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  return `${major}:${minor}:${ino}`;
}
