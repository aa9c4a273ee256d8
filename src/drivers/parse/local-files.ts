// Small files of local file systems, read synchronously. The thread pool takes four wake-ups for a file that the kernel has
// in memory, which was a fifth of the time of `parse/files`. A network file system may block for as long as it likes while
// every client waits, so its files, and what links lead to, are left to the thread pool.
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { LRUCache } from 'lru-cache';
import { systemErrorCode } from '../../base/errors.ts';
import { readDescriptor } from '../../base/regular-file.ts';

/** Larger files are left to the thread pool, in bytes. */
const largestBytes = 1024 * 1024;

/** Magic numbers of file systems on disks of this machine or in its memory (statfs(2), linux/magic.h). */
const localTypes: ReadonlySet<number> = new Set([
  ...[0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0xca451a4e], // ext4, XFS, Btrfs, F2FS, ZFS, bcachefs
  ...[0x01021994, 0x858458f6, 0x794c7630, 0x73717368, 0xe0f5e1e2], // tmpfs, ramfs, overlay, SquashFS, EROFS
]);

/** Folders known to be local or not. Something may be mounted over one meanwhile, so it is asked again after 5 s. */
const folders = new LRUCache<string, boolean>({ max: 4096, ttl: 5000 });

/** Whether a file's folder is on this machine. False also where that cannot be found out. */
export async function isLocal(file: Buffer): Promise<boolean> {
  // Bytes read as Latin-1: names need not be UTF-8.
  const folder = path.posix.dirname(file.toString('latin1'));
  let local = folders.get(folder);
  if (local === undefined) {
    local = await statfs(Buffer.from(folder, 'latin1')).then(
      ({ type }) => localTypes.has(type),
      () => false,
    );
    folders.set(folder, local);
  }
  return local;
}

/**
 * Reads a file of a local folder.
 * @param accept throws where the file must not be read, and returns whether it may be read now
 * @returns undefined for a link, a large file, and one that is not to be read now
 */
export function readLocalFile(file: Buffer, accept: (stats: Stats) => boolean): Buffer | undefined {
  const descriptor = openUnlessLink(file);
  if (descriptor === undefined) return undefined;
  try {
    const stats = fstatSync(descriptor);
    if (stats.size > largestBytes || !accept(stats)) return undefined;
    return readDescriptor(descriptor, stats.size);
  } finally {
    closeSync(descriptor);
  }
}

function openUnlessLink(file: Buffer): number | undefined {
  try {
    // O_NONBLOCK: opening a FIFO would else wait for a writer.
    return openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (systemErrorCode(error) === 'ELOOP') return undefined;
    throw error;
  }
}
