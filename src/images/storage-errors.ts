// What the file system's refusals mean to someone who installs an image.
import { BabelhostError, messageOf, systemErrorCode } from '../base/errors.ts';

const fullCodes = ['ENOSPC', 'EDQUOT'];
const diskCodes = [...fullCodes, 'EIO', 'EROFS'];
/** Only of these calls it is known that the disk is the one that is written to. */
const syncCalls: readonly unknown[] = ['fsync', 'fdatasync'];

/** Whether a system error's code says that a disk is full, or fails. */
export function isDiskError(code: string | undefined): code is string {
  return code !== undefined && diskCodes.includes(code);
}

/** The error of a disk that is full, or does not take what was written to the folder `where`. */
export function storageFull(where: string, code: string, reason: string, cause: unknown): BabelhostError {
  const message = fullCodes.includes(code)
    ? `There is no room left at ${where} (${code === 'EDQUOT' ? 'the disk quota is used up' : 'the disk, or its inodes, are used up'}): free some, for instance with 'babelhost image prune',`
    : `What was written to ${where} does not get to the disk (${reason}): look after the disk (the kernel may say more, see dmesg)`;
  return new BabelhostError(
    'storageFull',
    `${message} or use another --root. The store is as it was before.`,
    { path: where, code, cause: reason },
    { cause },
  );
}

/** Turns a disk that is full, or fails to sync what was written to `where`, into `storageFull`; other errors stay. */
export function storageError(error: unknown, where: string): unknown {
  const code = systemErrorCode(error);
  if (!isDiskError(code)) return error;
  const isSync = error instanceof Error && 'syscall' in error && syncCalls.includes(error.syscall);
  return fullCodes.includes(code) || isSync ? storageFull(where, code, messageOf(error), error) : error;
}
