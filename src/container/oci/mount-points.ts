// The folders of a root file system that a container's own file systems are mounted on. They are made once, where the
// image lacks them, because the root is read-only by the time the runtime would make them.
import { access, chmod, chown, constants, lstat, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import type { FileOwners } from './id-mapping.ts';

const mountPoints = [
  { name: 'dev', mode: 0o755 },
  { name: 'proc', mode: 0o555 },
  { name: 'tmp', mode: 0o1777 },
];

/** The root file systems that have them, as they were when that was seen; a handful of images, so a small bound. */
const seen = new Map<string, string>();
const mostSeen = 256;

/** Changes whenever something is added to the folder, removed from it or replaced in it, or its rights change. */
async function stamp(rootfs: string): Promise<string | undefined> {
  const status = await stat(rootfs, { bigint: true }).catch(() => undefined);
  return status && `${status.dev} ${status.ino} ${status.ctimeNs}`;
}

/**
 * @throws BabelhostError `containerFailed` if the root cannot be read, or if one of them cannot be made or is something
 * else than a folder
 */
export async function makeMountPoints(rootfs: string, owners: FileOwners): Promise<void> {
  const before = await stamp(rootfs);
  if (before !== undefined && seen.get(rootfs) === before) return;
  try {
    await access(rootfs, constants.R_OK | constants.X_OK);
  } catch (error) {
    const message = `The root file system ${rootfs} cannot be read: install the image again.`;
    throw new BabelhostError('containerFailed', message, { rootfs }, { cause: error });
  }
  const made = await Promise.all(mountPoints.map(({ name, mode }) => makeMountPoint(rootfs, name, mode, owners)));
  // Of a root that has just changed it would be a guess that nobody else has changed it too.
  if (before === undefined || made.includes(true)) return;
  if (seen.size >= mostSeen) seen.clear();
  seen.set(rootfs, before);
}

/** Returns whether it had to be made. */
async function makeMountPoint(rootfs: string, name: string, mode: number, owners: FileOwners): Promise<boolean> {
  const folder = path.join(rootfs, name);
  let made: boolean;
  try {
    made = await makeFolder(folder);
    if (made) {
      // Apart from mkdir, whose mode the umask would change.
      await chmod(folder, mode);
      if (owners.kind === 'mapped') await chown(folder, owners.base, owners.base);
    }
  } catch (error) {
    throw refuse(rootfs, name, messageOf(error));
  }
  // A symbolic link would be followed by the runtime, and could only lead astray.
  if (!(await lstat(folder)).isDirectory()) throw refuse(rootfs, name, 'it is no folder');
  return made;
}

async function makeFolder(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function refuse(rootfs: string, name: string, reason: string): BabelhostError {
  return new BabelhostError(
    'containerFailed',
    `The image cannot be run: a container needs the folder /${name} in ${rootfs}, and ${reason}.`,
    { rootfs, mountPoint: `/${name}`, reason },
  );
}
