// What the file system's refusals mean to someone who installs an image.
import { BabelhostError, messageOf, systemErrorCode } from '../base/errors.ts';

/** Calls that put what was written onto the disk: only of these it is known that the disk is the one of `where`. */
const syncs: readonly unknown[] = ['fsync', 'fdatasync'];

/**
 * Turns a disk that is full, or does not take what was written, into `storageFull`; anything else stays what it is.
 * `where` is the folder that was being written.
 */
export function storageError(error: unknown, where: string): unknown {
  const code = systemErrorCode(error);
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new BabelhostError(
        'storageFull',
        `There is no room left at ${where} (${code === 'EDQUOT' ? 'the disk quota is used up' : 'the disk, or its inodes, are used up'}): free some, for instance with 'babelhost image prune', or use another --root. The store is as it was before.`,
        { path: where, code, cause: messageOf(error) },
        { cause: error },
      );
    case 'EIO':
    case 'EROFS':
      if (!(error instanceof Error && 'syscall' in error && syncs.includes(error.syscall))) return error;
      return new BabelhostError(
        'storageFull',
        `What was written to ${where} does not get to the disk (${messageOf(error)}): look after the disk (the kernel may say more, see dmesg) or use another --root. The store is as it was before.`,
        { path: where, code, cause: messageOf(error) },
        { cause: error },
      );
    default:
      return error;
  }
}
