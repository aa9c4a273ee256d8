// The options of one container, and those that all containers of a host have in common.
import type { Logger } from '../base/log.ts';
import type { ContainerId } from './id.ts';
import type { Limits } from './limits.ts';
import type { ContainerProcess } from './oci/spec.ts';

export interface ContainerRuntimeOptions {
  /**
   * The folder that the hosts of one root share; made if it is missing. Each host has a folder of its own in it, which is
   * removed when the host ends, or at the next host's first boot if it died together with its guard.
   */
  readonly directory: string;
  /** 'runc' (the default), 'crun', or the path of a runtime that takes runc's command line. */
  readonly runtime?: string;
  /** Protections (see `protections`) that must be fully in force: `boot` fails if one is not. */
  readonly require?: readonly string[];
  /** Limits of containers that do not set their own. */
  readonly limits?: Partial<Limits>;
  /** As root: the host's id for a container's id 0, followed by the others. */
  readonly idBase?: number;
  /** How long a container may take to start, in milliseconds; 30,000 by default. */
  readonly bootTimeoutMs?: number;
  /** How many containers may run at once; 1,000 by default. */
  readonly maxContainers?: number;
  readonly logger?: Logger;
}

export interface ContainerOptions {
  readonly id?: ContainerId;
  /** The root file system: a folder, shared read-only by all containers that name it. */
  readonly rootfs: string;
  readonly process: ContainerProcess;
  readonly limits?: Partial<Limits>;
  readonly hostname?: string;
  /**
   * A folder with the folders `upper` and `work`, for what the container writes to its root; as root, `upper` belongs
   * to the container's root (`owners`). Without it the root is read-only. One container uses a layer at a time.
   */
  readonly layer?: string;
}
