// A directory as the root of a file system, as chroot(2) has it: paths are resolved component by component inside it, symbolic
// links too. The kernel never follows a link for us: each step opens one name, with O_NOFOLLOW, in a directory that is open.
// Node has no openat(2), but `/proc/self/fd/N/name` is the same: the kernel begins at the open directory N, not at its path.
import { closeSync, constants, lstatSync, mkdirSync, openSync, readlinkSync, unlinkSync } from 'node:fs';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';

/** Linux's O_PATH, which Node does not list: opens without permission to read. */
export const O_PATH = 0o10000000;
const walkFlags = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** As the kernel's MAXSYMLINKS. */
const linksLimit = 40;

/**
 * How many names there may be on the way to an entry, those in links included. Each takes system calls: without a limit,
 * forty links of as many names as fit into them take a tenth of a second for one entry.
 */
export const namesLimit = 1024;

/** NAME_MAX of every Linux file system that matters. */
const componentLimit = 255;

/**
 * How long a path inside may be: through links it can be longer than an entry's name. What is deeper than PATH_MAX (4096)
 * cannot be removed by its path; the rest is room for the root's own path.
 */
export const depthLimit = 3584;

/** A directory inside, found without any link left in its path. */
export interface Directory {
  readonly fd: number;
  /** Its path from the root, without a leading slash; '' is the root. */
  readonly path: string;
}

/** Called before a directory is made on the way to an entry; may throw to refuse it. */
export type OnMade = (path: string) => void;

/** One root. Keeps a bounded number of directories open, as archives go folder by folder. */
export class RootDirectory implements Disposable {
  readonly #root: Directory;
  /** By the path that was asked for, in the order of opening. */
  readonly #open = new Map<string, Directory>();
  readonly #capacity: number;

  constructor(path: string, capacity = 64) {
    this.#root = { fd: openSync(path, walkFlags), path: '' };
    this.#capacity = capacity;
  }

  /**
   * Finds the directory at `path`, following links inside.
   * @param make - called for each missing directory, which is then made, with mode 0700, in the place of a file too; without
   *   it, missing is undefined.
   * @throws BabelhostError `imageInvalid` for a loop of links, or a name too long.
   */
  directory(path: string, make?: OnMade): Directory | undefined {
    if (path === '') return this.#root;
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    const found = this.#step(path, make) ?? this.#walk(path, make);
    if (found === undefined || found === this.#root) return found;
    return this.#keep(path, found);
  }

  /** The directory at `path`, if no part of that is a link. */
  existing(path: string): Directory | undefined {
    if (path === '') return this.#root;
    const known = this.#open.get(path);
    if (known !== undefined) return known.path === path ? known : undefined;
    const [folder, name] = splitPath(path);
    const parent = this.existing(folder);
    if (parent === undefined) return undefined;
    const fd = openDirectory(insidePath(parent, name));
    return typeof fd === 'number' ? this.#keep(path, { fd, path }) : undefined;
  }

  /** Keeps a directory open, and closes the oldest if there are too many. */
  #keep(path: string, directory: Directory): Directory {
    this.#open.set(path, directory);
    if (this.#open.size > this.#capacity) {
      for (const [oldest, { fd }] of this.#open) {
        this.#open.delete(oldest);
        closeSync(fd);
        break;
      }
    }
    return directory;
  }

  /** One step down from a directory that is probably open; undefined if that is not enough. */
  #step(path: string, make: OnMade | undefined): Directory | undefined {
    const [folder, name] = splitPath(path);
    if (folder === '' || name === '' || name === '.' || name === '..' || name.length > componentLimit) return undefined;
    const parent = this.directory(folder, make);
    if (parent === undefined) return undefined;
    const target = insidePath(parent, name);
    let next = openDirectory(target);
    if (next === 'missing' && make !== undefined) next = makeDirectory(parent, name, target, path, make);
    return typeof next === 'number' ? { fd: next, path: joined(parent, name) } : undefined;
  }

  /** Closes all directories: needed after the removal of one of them, or of a link on the way to one. */
  forget(): void {
    for (const directory of this.#open.values()) closeSync(directory.fd);
    this.#open.clear();
  }

  #walk(path: string, make: OnMade | undefined): Directory | undefined {
    // The names still to be walked, the next one last; and the directories walked, for '..'.
    const ahead = components(path).reverse();
    const behind: Directory[] = [];
    let here = this.#root;
    let links = 0;
    let names = ahead.length;
    if (names > namesLimit) throw tooManyNames(path);
    const close = (keep?: Directory) => {
      for (const directory of [...behind, here])
        if (directory !== this.#root && directory !== keep) closeSync(directory.fd);
    };
    try {
      for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
        if (name === '..') {
          // In links only: an entry's own name with '..' was refused before. Above the root is the root.
          const parent = behind.pop();
          if (parent !== undefined) {
            if (here !== this.#root) closeSync(here.fd);
            here = parent;
          }
          continue;
        }
        checkName(path, name);
        const target = insidePath(here, name);
        let next = openDirectory(target);
        if (next === 'notDirectory') {
          const link = readLink(target);
          if (link !== undefined) {
            links += 1;
            if (links > linksLimit)
              throw entryError(path, `there are more than ${linksLimit} symbolic links on the way to it`);
            if (link.startsWith('/')) {
              close();
              behind.length = 0;
              here = this.#root;
            }
            const more = components(link);
            names += more.length;
            if (names > namesLimit) throw tooManyNames(path);
            ahead.push(...more.reverse());
            continue;
          }
          // In a link only: umoci resolves links by their text, where `file/..` is the folder that the file lies in.
          if (ahead.at(-1) === '..') {
            ahead.pop();
            continue;
          }
          // As umoci since 0.5: a file that an entry lies below gives way to a folder.
          if (make !== undefined) unlinkSync(target);
          next = 'missing';
        }
        if (next === 'missing') {
          if (make === undefined) {
            close();
            return undefined;
          }
          next = makeDirectory(here, name, target, path, make);
        }
        behind.push(here);
        here = { fd: next, path: joined(here, name) };
      }
    } catch (error) {
      close();
      throw error;
    }
    close(here);
    return here;
  }

  [Symbol.dispose](): void {
    this.forget();
    closeSync(this.#root.fd);
  }
}

/** The folder and the last name of a path without links; '' is the root. */
export function splitPath(path: string): [folder: string, name: string] {
  const slash = path.lastIndexOf('/');
  return [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
}

/** A path's names, without empty ones and '.'. */
export function components(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/** A name (one character a byte) for the kernel: all but ASCII needs a Buffer. */
export function bytesOf(text: string): string | Buffer {
  // eslint-disable-next-line no-control-regex -- all of ASCII, control characters included, is the same in both forms
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, 'latin1');
}

/** The kernel's path of `name` in an open directory. `name` is one component, never '..'. */
export function insidePath(directory: Directory, name: string): string | Buffer {
  return bytesOf(`/proc/self/fd/${directory.fd}/${name}`);
}

/** The path of `name` in a directory, from the root. */
export function joined(directory: Directory, name: string): string {
  return directory.path === '' ? name : `${directory.path}/${name}`;
}

function openDirectory(target: string | Buffer): number | 'missing' | 'notDirectory' {
  try {
    return openSync(target, walkFlags);
  } catch (error) {
    switch (systemErrorCode(error)) {
      case 'ENOENT':
        return 'missing';
      case 'ENOTDIR':
      case 'ELOOP':
        return 'notDirectory';
      default:
        throw error;
    }
  }
}

/** Makes a directory that is missing on the way to `path`, and opens it. */
function makeDirectory(parent: Directory, name: string, target: string | Buffer, path: string, make: OnMade): number {
  const made = joined(parent, name);
  if (made.length > depthLimit) throw tooDeep(path);
  make(made);
  mkdirSync(target, 0o700);
  const fd = openDirectory(target);
  if (typeof fd === 'string') throw inTheWay(path, name);
  return fd;
}

/** The target of a symbolic link, or undefined if it is something else. */
export function readLink(target: string | Buffer): string | undefined {
  if (!lstatSync(target).isSymbolicLink()) return undefined;
  return readlinkSync(target, { encoding: 'buffer' }).toString('latin1');
}

function inTheWay(path: string, name: string): BabelhostError {
  return entryError(path, `'${printable(name)}' on the way to it is not a folder`);
}

/** The error of an entry that too many names lead to. */
export function tooManyNames(path: string): BabelhostError {
  return entryError(path, `there are more than ${namesLimit} names on the way to it, those of links included`);
}

/** Refuses a name that no file system takes. */
export function checkName(path: string, name: string): void {
  if (name.length > componentLimit) throw entryError(path, `a part of its name has more than ${componentLimit} bytes`);
}

/** The error of an entry that is too deep. */
export function tooDeep(path: string): BabelhostError {
  return entryError(path, `it lies deeper than a path of ${depthLimit} bytes`);
}

/** The error of one entry of a layer, which cannot be unpacked. */
export function entryError(name: string, reason: string): BabelhostError {
  return new BabelhostError('imageInvalid', `The image has an entry '${printable(name)}' that is refused: ${reason}.`, {
    entry: printable(name),
    reason,
  });
}

/** A name of bytes as text for a message: UTF-8 where it is that, without control characters, shortened. */
export function printable(name: string): string {
  const text = Buffer.from(name, 'latin1')
    .toString('utf8')
    .replace(/\p{Cc}/gu, '\uFFFD');
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
