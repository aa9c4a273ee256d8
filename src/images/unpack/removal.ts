// Takes things out of a root directory. A folder is moved aside, whole, and removed with the workspace: removing it here
// would keep the event loop for as long as an image likes.
import { lstatSync, mkdirSync, readdirSync, renameSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../../base/errors.ts';
import { insidePath, type Directory, type RootDirectory } from './root-directory.ts';

/** What is taken out of one root. */
export class Removal {
  readonly #root: RootDirectory;
  readonly #aside: string;
  #moved = 0;

  /** @param aside - a folder of the same file system; made when it is needed, and to be removed by whoever named it. */
  constructor(root: RootDirectory, aside: string) {
    this.#root = root;
    this.#aside = aside;
  }

  /** Takes out one name in a folder, with all below it; nothing to do if it is not there. */
  remove(folder: string, name: string): void {
    const parent = this.#root.directory(folder);
    if (parent === undefined) return;
    const target = insidePath(parent, name);
    let found;
    try {
      found = lstatSync(target);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return;
      throw error;
    }
    if (found.isDirectory()) this.#moveAside(target);
    else unlinkSync(target);
    // Directories that we have open may have been in it, or been found through it.
    if (found.isDirectory() || found.isSymbolicLink()) this.#root.forget();
  }

  /** Takes out all that is in the directory at `path`, a path without links. */
  empty(path: string): void {
    const slash = path.lastIndexOf('/');
    const folder = path.slice(0, Math.max(0, slash));
    const name = path.slice(slash + 1);
    this.remove(folder, name);
    const parent = this.#root.directory(folder);
    // Its mode, owner and time are given to it in the end, as to every directory.
    if (parent !== undefined) mkdirSync(insidePath(parent, name), 0o700);
  }

  /** What is in a directory, a byte each character. */
  namesIn(directory: Directory): string[] {
    const names = readdirSync(`/proc/self/fd/${directory.fd}/.`, { encoding: 'buffer' });
    return names.map((name) => name.toString('latin1'));
  }

  #moveAside(target: string | Buffer): void {
    mkdirSync(this.#aside, { recursive: true, mode: 0o700 });
    this.#moved += 1;
    renameSync(target, join(this.#aside, String(this.#moved)));
  }
}
