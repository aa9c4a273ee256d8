// What the file system's refusals mean to someone who installs an image.
import { BabelhostError, messageOf, systemErrorCode } from '../errors.ts';

/**
 * Turns a full disk into `storageFull`; anything else stays what it is. `where` is the folder that was being written.
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
    default:
      return error;
  }
}
