// The folder that the guard mounts its stage on (native/stage.c), which hides it in the guard's mount namespace alone.
import { constants } from 'node:fs';
import { BabelhostError } from '../../base/errors.ts';
import { mayUse } from '../sync-fs.ts';

/** Folders that every Linux has (FHS 3.0, section 3), that everybody can reach, and that are mostly empty. */
const stages = ['/mnt', '/media', '/srv', '/opt', '/home', '/boot'];

/** @param used paths that the folder must not hide */
export function findStage(used: readonly string[]): string {
  for (const stage of stages) {
    if (used.some((file) => file === stage || file.startsWith(`${stage}/`))) continue;
    if (mayUse(stage, constants.X_OK)) return stage;
  }
  throw new BabelhostError(
    'containerFailed',
    `None of ${stages.join(', ')} can be used to mount containers' files on: make one of them, empty.`,
    { stages },
  );
}

/** @throws BabelhostError `containerFailed` if the stage, chosen at the first boot, hides a root file system that came later */
export function checkStage(stage: string, rootfs: string): void {
  if (rootfs !== stage && !rootfs.startsWith(`${stage}/`)) return;
  throw new BabelhostError(
    'containerFailed',
    `The root file system ${rootfs} lies below ${stage}, where containers are prepared; keep all of them together.`,
    { rootfs, stage },
  );
}
