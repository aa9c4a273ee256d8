// Where Node keeps the program's bytecode: a folder of the user's own. Node does not look whose bytecode it takes, and its
// default, in /tmp, can be made by anybody.
import { mkdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

/** @returns the folder, made if need be; undefined where another user could write to it, or this one cannot */
export function findCompileCache(): string | undefined {
  const named = process.env['XDG_CACHE_HOME'] ?? '';
  try {
    const cache = path.isAbsolute(named) ? named : path.join(homedir(), '.cache');
    // Before anything is made there: sudo may leave root the HOME of who called it.
    if (!isOwn(cache)) return undefined;
    const folder = path.join(cache, 'babelhost');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return isOwn(folder) ? folder : undefined;
  } catch {
    // A full disk, or a file in the way: it is only slower without.
    return undefined;
  }
}

/** Whether only this user, and root, may write to a folder, or else to the nearest one above it that is there. */
function isOwn(folder: string): boolean {
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (stats === undefined) return folder !== '/' && isOwn(path.dirname(folder));
  return stats.uid === process.geteuid?.() && (stats.mode & 0o022) === 0;
}
