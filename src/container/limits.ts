// What a container may use, and the defaults.

/** Limits of one container. All its processes share them, unless it says otherwise. */
export interface Limits {
  /** Memory with swap, page cache and /tmp included, in bytes. */
  readonly memoryBytes: number;
  /** Processor time for each second, in seconds: 1.5 is one and a half processors. */
  readonly cpus: number;
  /** Processes and threads together. */
  readonly processes: number;
  /** Open files of each process. */
  readonly openFiles: number;
  /** The size of a file that a process may write, in bytes. */
  readonly fileSizeBytes: number;
  /** The size of /tmp, and of /dev/shm, each a file system in memory of its own, in bytes. */
  readonly temporaryBytes: number;
}

const MiB = 1024 * 1024;

/** Ample for a parser, and for a machine that runs a few of them at once. */
export const defaultLimits: Limits = {
  memoryBytes: 2048 * MiB,
  cpus: 1,
  processes: 256,
  openFiles: 1024,
  fileSizeBytes: 256 * MiB,
  temporaryBytes: 64 * MiB,
};
