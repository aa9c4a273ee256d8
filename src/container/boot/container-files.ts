// The files of one container: its bundle, and the runtime's state. They lie in memory, on a file system that is mounted in
// the guard's namespace alone (native/stage.c).
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { messageOf } from '../../base/errors.ts';
import type { BootContext } from './boot-context.ts';
import { containerFolders } from '../cgroup/placement.ts';
import { removeCgroup } from '../cgroup/cgroup.ts';
import type { Guard } from '../guard/guard.ts';
import type { ContainerId } from '../id.ts';

/** Paths in the guard's namespace; `Guard.seen` gives those that the host has. */
export interface ContainerFiles {
  readonly bundle: string;
  readonly state: string;
  readonly log: string;
  readonly pidFile: string;
}

export function filesOf(guard: Guard, id: ContainerId): ContainerFiles {
  const bundle = path.join(guard.folder, 'bundles', id);
  return {
    bundle,
    state: path.join(guard.folder, 'state'),
    log: path.join(bundle, 'log.json'),
    pidFile: path.join(bundle, 'pid'),
  };
}

/** Removes the bundle, the runtime's state and the cgroups of a container without processes. */
export async function removeRemains(context: BootContext, files: ContainerFiles, id: ContainerId): Promise<void> {
  const removals = [
    rm(context.guard.seen(files.bundle), { recursive: true, force: true }),
    rm(context.guard.seen(path.join(files.state, id)), { recursive: true, force: true }),
    ...containerFolders(context.placement, id).map(removeCgroup),
  ];
  for (const result of await Promise.allSettled(removals)) {
    if (result.status === 'fulfilled') continue;
    // The guard removes it with everything else when the host ends.
    context.logger.warn({ container: id, reason: messageOf(result.reason) }, 'could not remove part of a container');
  }
}
