// The folders of a root file system that a container's own file systems are mounted on. They are made before the boot
// where the image lacks them: the root is read-only by the time the runtime would make them.
import { access, chmod, chown, constants, lstat, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import type { FileOwners } from '../../base/file-owners.ts';

const mountPoints = [
  { name: 'dev', mode: 0o755 },
  { name: 'proc', mode: 0o555 },
  { name: 'tmp', mode: 0o1777 },
];

/**
 * Makes those that are missing.
 * @throws BabelhostError `containerFailed` if the root cannot be read, or a mount point cannot be made or is not a folder
 */
export async function makeMountPoints(rootfs: string, owners: FileOwners): Promise<void> {
  try {
    await access(rootfs, constants.R_OK | constants.X_OK);
  } catch (error) {
    const message = `The root file system ${rootfs} cannot be read: install the image again.`;
    throw new BabelhostError('containerFailed', message, { rootfs }, { cause: error });
  }
  for (const { name, mode } of mountPoints) {
    const folder = path.join(rootfs, name);
    try {
      await makeMountPoint(folder, mode, owners);
    } catch (error) {
      throw refuse(rootfs, name, messageOf(error));
    }
    // The runtime would follow a symbolic link out of the root.
    if (!(await lstat(folder)).isDirectory()) throw refuse(rootfs, name, 'it is no folder');
  }
}

async function makeMountPoint(folder: string, mode: number, owners: FileOwners): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return;
    throw error;
  }
  // Apart from mkdir, whose mode the umask would change.
  await chmod(folder, mode);
  if (owners.kind === 'mapped') await chown(folder, owners.base, owners.base);
}

function refuse(rootfs: string, name: string, reason: string): BabelhostError {
  return new BabelhostError(
    'containerFailed',
    `The image cannot be run: a container needs the folder /${name} in ${rootfs}, and ${reason}.`,
    { rootfs, mountPoint: `/${name}`, reason },
  );
}
