// Modes, owners and times of what is unpacked.
import { closeSync, constants, fchmodSync, fchownSync, futimesSync, openSync } from 'node:fs';
import { hostId, type FileOwners } from '../file-owners.ts';
import type { TarEntry } from '../tar/entry.ts';
import { entryError, type RootDirectory } from './root-directory.ts';
import { TimeSlice } from './time-slice.ts';

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Permissions and sticky bit. Set-user-id and set-group-id are dropped: nothing in a container may gain rights by
 * running a file, and on the host such files would lie around with an owner of their own.
 */
export const modeMask = 0o1777;

/** What a directory's inode gets once nothing changes in it any more. */
export interface DirectoryMetadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
}

/** A directory that entries lie in without one of its own. */
export const impliedDirectory: DirectoryMetadata = { mode: 0o755, uid: 0, gid: 0, mtime: 0 };

/** What a directory's entry says of it. */
export function metadataOf({ mode, uid, gid, mtime }: TarEntry): DirectoryMetadata {
  return { mode, uid, gid, mtime };
}

/** The host's ids of an entry's owner; undefined where all belongs to one user, as nothing has to be changed then. */
export function ownerOf(
  owners: FileOwners,
  entry: {
    readonly uid: number;
    readonly gid: number;
    readonly name: string;
  },
): { uid: number; gid: number } | undefined {
  if (owners.kind === 'single') return undefined;
  const uid = hostId(owners, entry.uid);
  const gid = hostId(owners, entry.gid);
  if (uid === undefined || gid === undefined) {
    throw entryError(
      entry.name,
      `it belongs to ${entry.uid}:${entry.gid}, but the container has ids below ${owners.size} only`,
    );
  }
  return { uid, gid };
}

/** Gives the directories their modes, owners and times, deepest first: a folder may not let its owner in any more. */
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
    // Removed since, or replaced by something else that is not to be followed.
    const directory = root.existing(path);
    if (metadata === undefined || directory === undefined) continue;
    const fd = openSync(`/proc/self/fd/${directory.fd}/.`, directoryFlags);
    try {
      const owner = ownerOf(owners, { ...metadata, name: path });
      if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
      // An ordinary user can move a folder (from where it was unpacked to its place) only while it is writable.
      const kept = path === '' && owners.kind === 'single' ? 0o700 : 0;
      fchmodSync(fd, (metadata.mode & modeMask) | kept);
      futimesSync(fd, metadata.mtime, metadata.mtime);
    } finally {
      closeSync(fd);
    }
  }
}
