// A second name for a file that is unpacked already.
import {
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  openSync,
} from 'node:fs';
import { systemErrorCode } from '../../base/errors.ts';
import type { FileOwners } from '../file-owners.ts';
import { modeMask } from './metadata.ts';

/**
 * Makes a hard link, or a copy where the file system allows no more links.
 * @param onCopy - told of the bytes that a copy is about to take; may throw to refuse it.
 */
export function linkOrCopy(
  from: string | Buffer,
  to: string | Buffer,
  owners: FileOwners,
  onCopy?: (size: number) => void,
): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (systemErrorCode(error) !== 'EMLINK') throw error;
    // The file system allows no more links to that file; a copy reads the same.
    onCopy?.(lstatSync(from).size);
    copy(from, to, owners);
  }
}

function copy(from: string | Buffer, to: string | Buffer, owners: FileOwners): void {
  copyFileSync(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const { uid, gid, mode, mtime } = lstatSync(from);
  if (owners.kind === 'mapped') lchownSync(to, uid, gid);
  const fd = openSync(to, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    fchmodSync(fd, mode & modeMask);
    futimesSync(fd, mtime, mtime);
  } finally {
    closeSync(fd);
  }
}
