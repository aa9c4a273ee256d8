// The configuration that babelhost gives a container, for an OCI runtime's own command line: with the same namespaces,
// mounts, seccomp list and limits, and without our process 1.
import { resourceLimits } from '../src/container/boot/process-options.ts';
import { defaultLimits } from '../src/container/limits.ts';
import { containerIds, defaultBase } from '../src/container/oci/id-mapping.ts';
import { containerSpec, initPath, type ContainerProcess } from '../src/container/oci/spec.ts';

export interface PlainBundle {
  readonly process: ContainerProcess;
  /** The root filesystem: no symbolic link, and below folders that everybody may pass. */
  readonly rootfs: string;
  /** Without limits on memory, cpu and processes, where the runtime itself could not set them. */
  readonly withoutLimits: boolean;
}

/** The content of config.json. */
export function plainBundle({ process, rootfs, withoutLimits }: PlainBundle): object {
  const ids = { first: defaultBase, count: containerIds };
  const spec = containerSpec({
    process,
    user: { uid: 0, gid: 0, additionalGids: [] },
    rlimits: resourceLimits(defaultLimits, ''),
    initArguments: [],
    oomScoreAdj: 300,
    hostname: 'babelhost',
    annotations: {},
    writable: false,
    limits: defaultLimits,
    stage: '',
    uids: ids,
    gids: ids,
  });
  const { memoryBytes, cpus, processes } = defaultLimits;
  const resources = {
    memory: { limit: memoryBytes, swap: memoryBytes },
    cpu: { quota: cpus * 100_000, period: 100_000 },
    pids: { limit: processes },
  };
  return {
    ...spec,
    root: { path: rootfs, readonly: true },
    process: { ...spec.process, args: process.args },
    mounts: spec.mounts.filter(({ destination }) => destination !== initPath),
    linux: { ...spec.linux, ...(!withoutLimits && { resources }) },
  };
}
