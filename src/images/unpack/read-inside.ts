// Reads one file of an unpacked image, without ever leaving it.
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { BabelhostError, systemErrorCode } from '../../errors.ts';
import { components, entryError, insidePath, readLink, RootDirectory } from './root-directory.ts';

/** O_NONBLOCK: a FIFO must not hold us up before we have seen that it is one. */
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The content of the file at `path` inside the unpacked image at `root`, links resolved inside it.
 * @throws BabelhostError `notFound` if there is no file; `imageInvalid` if it is longer than `maxBytes` or no file.
 */
export function readInside(root: string, path: string, maxBytes: number): Buffer {
  return withFileInside(root, path, (fd, { size }) => {
    if (size > maxBytes) throw entryError(path, `it has ${size} bytes, more than ${maxBytes}`);
    const content = Buffer.alloc(size);
    let length = 0;
    while (length < content.length) {
      const count = readSync(fd, content, length, content.length - length, length);
      if (count === 0) break;
      length += count;
    }
    return content.subarray(0, length);
  });
}

/**
 * What kind of file there is at `path` inside the unpacked image at `root`, links resolved inside it.
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

/** Opens the file at `path` for as long as `use` takes. */
function withFileInside<T>(root: string, path: string, use: (fd: number, found: Stats) => T): T {
  using inside = new RootDirectory(root, 8);
  let names = components(Buffer.from(path).toString('latin1'));
  for (let links = 0; links <= 40; links += 1) {
    const name = names.pop();
    if (name === '..') throw entryError(path, "its name has '..' in it");
    const directory = name === undefined ? undefined : inside.directory(names.join('/'));
    if (directory === undefined || name === undefined) throw missing(path);
    const target = insidePath(directory, name);
    let fd: number;
    try {
      fd = openSync(target, readFlags);
    } catch (error) {
      switch (systemErrorCode(error)) {
        case 'ENOENT':
        case 'ENOTDIR':
          throw missing(path);
        case 'ELOOP': {
          const link = readLink(target) ?? '';
          names = components(link.startsWith('/') ? link : `${directory.path}/${link}`);
          continue;
        }
        default:
          throw error;
      }
    }
    try {
      const found = fstatSync(fd);
      if (!found.isFile()) throw entryError(path, 'it should be a file');
      return use(fd, found);
    } finally {
      closeSync(fd);
    }
  }
  throw entryError(path, 'there are too many symbolic links on the way to it');
}

function missing(path: string): BabelhostError {
  return new BabelhostError('notFound', `The image has no file ${path}.`, { path });
}
