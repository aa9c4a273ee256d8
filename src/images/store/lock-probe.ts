// Whether a living process holds a lock, as the kernel tells of its children's open files (proc_pid_fdinfo(5)): looking
// costs a millisecond, where trying a lock takes a process. /proc/locks would tell of all at once, but has the whole
// machine's processors agree first, which takes longer than anything else in a start. What is not told, as of another user's
// process or on a file system whose files have other device numbers than itself (btrfs), has to be tried.
import { readdir, readFile, stat } from 'node:fs/promises';

/**
 * Whether a child of the process with this id visibly holds the lock on the file.
 * @throws if there is no such file.
 */
export async function probeLock(pid: number, file: string): Promise<boolean> {
  const id = await fileId(file);
  try {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1');
    for (const child of children.split(' ').filter(Boolean)) {
      const folder = `/proc/${child}/fdinfo`;
      const texts = await Promise.all((await readdir(folder)).map((name) => readFile(`${folder}/${name}`, 'latin1')));
      if (texts.some((text) => parseLocks(text).has(id))) return true;
    }
  } catch {
    // Gone meanwhile, or not for us to look at: it has to be tried then.
  }
  return false;
}

/** The files that are locked by flock(2), as `major:minor:inode`. */
export function parseLocks(text: string): ReadonlySet<string> {
  const held = new Set<string>();
  for (const line of text.split('\n')) {
    // `lock:\t1: FLOCK  ADVISORY  WRITE 21525 fe:00:9978577 0 EOF`
    const [, major = '', minor = '', inode = ''] =
      /^lock:\s+\d+: FLOCK +\w+ +WRITE +\d+ +([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line) ?? [];
    if (inode !== '') held.add(`${parseInt(major, 16)}:${parseInt(minor, 16)}:${inode}`);
  }
  return held;
}

/** The file's name in `parseLocks`. */
async function fileId(file: string): Promise<string> {
  const { dev, ino } = await stat(file, { bigint: true });
  // makedev(3): the parts of a number lie on both sides of each other.
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  return `${major}:${minor}:${ino}`;
}
