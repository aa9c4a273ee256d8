// What a boot needs to know: of the host, which is the same for all its containers, and of the one that is to be booted.
import type { Logger } from '../../base/log.ts';
import type { CgroupPlacement } from '../cgroup/placement.ts';
import type { Guard } from '../guard/guard.ts';
import type { ContainerId } from '../id.ts';
import type { Limits } from '../limits.ts';
import type { IdMapping, IdRanges } from '../oci/id-mapping.ts';
import type { RuntimeProgram } from '../oci/runtime-program.ts';
import type { SeccompFilter } from '../oci/seccomp-filter.ts';
import type { ContainerOptions } from '../options.ts';

/** What all containers of a host have in common. */
export interface BootContext {
  readonly runtime: RuntimeProgram;
  readonly guard: Guard;
  readonly idMapping: IdMapping;
  /** Where each container has ids of its own; undefined where all have the same. */
  readonly ranges: IdRanges | undefined;
  readonly placement: CgroupPlacement;
  readonly seccompFilter: SeccompFilter;
  readonly bootTimeoutMs: number;
  readonly logger: Logger;
}

/** The container, with all that `ContainerOptions` leaves to defaults. */
export interface BootOptions extends Omit<ContainerOptions, 'id' | 'limits' | 'hostname'> {
  readonly id: ContainerId;
  readonly limits: Limits;
  /** Undefined for the name around babelhost, where no other may be set (host-name.ts). */
  readonly hostname: string | undefined;
}
