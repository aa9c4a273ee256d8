// Modes, owners and times of what is unpacked.
import {
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  openSync,
} from 'node:fs';
import { systemErrorCode } from '../../base/errors.ts';
import type { FileOwners } from '../../base/file-owners.ts';
import type { TarEntry } from '../tar/entry.ts';
import { entryError, type RootDirectory } from './root-directory.ts';
import { TimeSlice } from './time-slice.ts';

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Permissions and sticky bit. Set-user-id and set-group-id are dropped: nothing in a container may gain rights by executing
 * a file, and on the host nobody should have such files of other owners.
 */
export const modeMask = 0o1777;

/** What a directory's inode gets once nothing changes in it any more. */
export type DirectoryMetadata = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'mtime'>;

/** A directory that entries lie in, but that has no entry itself. */
export const impliedDirectory: DirectoryMetadata = { mode: 0o755, uid: 0, gid: 0, mtime: 0 };

export function metadataOf({ mode, uid, gid, mtime }: TarEntry): DirectoryMetadata {
  return { mode, uid, gid, mtime };
}

/**
 * The host's ids of an entry's owner; undefined for `single`, where nothing has to be changed.
 * @throws BabelhostError `imageInvalid` if an id is outside of the map.
 */
export function ownerOf(
  owners: FileOwners,
  { uid, gid, name }: Pick<TarEntry, 'uid' | 'gid' | 'name'>,
): { uid: number; gid: number } | undefined {
  if (owners.kind === 'single') return undefined;
  const { base, size } = owners;
  if (uid < size && gid < size) return { uid: base + uid, gid: base + gid };
  throw entryError(name, `it belongs to ${uid}:${gid}, but the container has ids below ${size} only`);
}

/** Gives the directories their modes, owners and times, deepest first: a folder's mode may then shut out its owner. */
export async function finishDirectories(
  root: RootDirectory,
  directories: ReadonlyMap<string, DirectoryMetadata>,
  owners: FileOwners,
): Promise<void> {
  root.forget();
  const turn = new TimeSlice();
  const paths = [...directories.keys()].sort().reverse();
  for (const path of paths) {
    await turn.pass();
    const metadata = directories.get(path);
    // Undefined if it was removed, or replaced by something that must not be followed.
    const directory = root.existing(path);
    if (metadata === undefined || directory === undefined) continue;
    const fd = openSync(`/proc/self/fd/${directory.fd}/.`, directoryFlags);
    try {
      const owner = ownerOf(owners, { ...metadata, name: path });
      if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
      // An ordinary user can move a folder, as the root to its place, only while it is writable.
      const kept = path === '' && owners.kind === 'single' ? 0o700 : 0;
      fchmodSync(fd, (metadata.mode & modeMask) | kept);
      futimesSync(fd, metadata.mtime, metadata.mtime);
    } finally {
      closeSync(fd);
    }
  }
}

/**
 * Makes a hard link, or a copy where the file system allows no more links to the file.
 * @param onCopy - called with the bytes that a copy will take; may throw to refuse it.
 */
export function linkOrCopy(
  from: string | Buffer,
  to: string | Buffer,
  owners: FileOwners,
  onCopy?: (size: number) => void,
): void {
  try {
    linkSync(from, to);
    return;
  } catch (error) {
    if (systemErrorCode(error) !== 'EMLINK') throw error;
  }
  const { uid, gid, mode, mtime, size } = lstatSync(from);
  onCopy?.(size);
  copyFileSync(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  if (owners.kind === 'mapped') lchownSync(to, uid, gid);
  const fd = openSync(to, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    fchmodSync(fd, mode & modeMask);
    futimesSync(fd, mtime, mtime);
  } finally {
    closeSync(fd);
  }
}
