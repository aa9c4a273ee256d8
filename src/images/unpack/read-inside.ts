// Reads one file of an unpacked image; links are resolved inside it.
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import { readDescriptor } from '../../base/regular-file.ts';
import { components, entryError, insidePath, O_PATH, readLink, RootDirectory } from './root-directory.ts';

/**
 * The content of the file at `path` inside the unpacked image at `root`.
 * @throws BabelhostError `notFound` if there is no file; `imageInvalid` if it is longer than `maxBytes` or no file.
 */
export function readInside(root: string, path: string, maxBytes: number): Buffer {
  return withFileInside(root, path, (handle, { size }) => {
    if (size > maxBytes) throw entryError(path, `it has ${size} bytes, more than ${maxBytes}`);
    const fd = openHandle(handle, path);
    try {
      return readDescriptor(fd, size);
    } finally {
      closeSync(fd);
    }
  });
}

/**
 * Size and kind of the file at `path` inside the unpacked image at `root`.
 * @throws BabelhostError `notFound` if there is no file; `imageInvalid` if it is no file.
 */
export function statInside(root: string, path: string): FileInside {
  return withFileInside(root, path, (_, { size, mode }) => ({ size, executable: (mode & 0o111) !== 0 }));
}

/** A file of an image: its size in bytes, and whether anybody may execute it. */
export interface FileInside {
  readonly size: number;
  readonly executable: boolean;
}

/** Opens the file of an O_PATH descriptor for reading. */
function openHandle(handle: number, path: string): number {
  try {
    return openSync(`/proc/self/fd/${handle}`, constants.O_RDONLY);
  } catch (error) {
    if (systemErrorCode(error) !== 'EACCES') throw error;
    throw entryError(path, 'it may not be read: its mode forbids it');
  }
}

/**
 * Calls `use` with an O_PATH descriptor of the file at `path`. Only what is known to be a file is opened: opening a FIFO
 * waits, and opening a device may do anything.
 */
function withFileInside<T>(root: string, path: string, use: (handle: number, found: Stats) => T): T {
  using inside = new RootDirectory(root, 8);
  let names = components(Buffer.from(path).toString('latin1'));
  for (let links = 0; links <= 40; links += 1) {
    const name = names.pop();
    if (name === '..') throw entryError(path, "its name has '..' in it");
    const directory = name === undefined ? undefined : inside.directory(names.join('/'));
    if (directory === undefined || name === undefined) throw missing(path);
    const target = insidePath(directory, name);
    let handle: number;
    try {
      handle = openSync(target, O_PATH | constants.O_NOFOLLOW);
    } catch (error) {
      switch (systemErrorCode(error)) {
        case 'ENOENT':
        case 'ENOTDIR':
        case 'ENAMETOOLONG':
          throw missing(path);
        default:
          throw error;
      }
    }
    try {
      const found = fstatSync(handle);
      if (found.isFile()) return use(handle, found);
      const link = found.isSymbolicLink() ? readLink(target) : undefined;
      if (link === undefined) throw entryError(path, 'it should be a file');
      names = components(link.startsWith('/') ? link : `${directory.path}/${link}`);
    } finally {
      closeSync(handle);
    }
  }
  throw entryError(path, 'there are too many symbolic links on the way to it');
}

function missing(path: string): BabelhostError {
  return new BabelhostError('notFound', `The image has no file ${path}.`, { path });
}
