// The folders of a root file system that a container's own file systems are mounted on. They are made once, where the
// image lacks them, because the root is read-only by the time the runtime would make them.
import { access, chmod, chown, constants, lstat, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError, messageOf, systemErrorCode } from '../errors.ts';
import type { OwnerMap } from './owners.ts';

const mountPoints = [
  { name: 'dev', mode: 0o755 },
  { name: 'proc', mode: 0o555 },
  { name: 'tmp', mode: 0o1777 },
];

/**
 * @throws BabelhostError `containerFailed` if the root cannot be read, or if one of them cannot be made or is something
 * else than a folder
 */
export async function makeMountPoints(rootfs: string, owners: OwnerMap): Promise<void> {
  try {
    await access(rootfs, constants.R_OK | constants.X_OK);
  } catch (error) {
    const message = `The root file system ${rootfs} cannot be read: install the image again.`;
    throw new BabelhostError('containerFailed', message, { rootfs }, { cause: error });
  }
  await Promise.all(mountPoints.map(({ name, mode }) => makeMountPoint(rootfs, name, mode, owners)));
}

async function makeMountPoint(rootfs: string, name: string, mode: number, owners: OwnerMap): Promise<void> {
  const folder = path.join(rootfs, name);
  try {
    const made = await makeFolder(folder);
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
