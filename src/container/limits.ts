// What a container may use, and the defaults.
import { BabelhostError } from '../base/errors.ts';

/** Limits of one container, which all its processes share unless a limit says otherwise. */
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
  /** How long it may run from its boot on, in milliseconds of wall-clock time; 0, the default, for no limit. */
  readonly runTimeMs: number;
}

const MiB = 1024 * 1024;

/** Ample for a parser, and for a machine that runs a few of them at once. */
export const defaultLimits: Limits = {
  memoryBytes: 2048 * MiB,
  // Interpreters compile and collect garbage beside their main thread. With one processor for all threads, the kernel
  // would stop them in the middle of a request, for the rest of each tenth of a second, when its quota is used up.
  cpus: 2,
  processes: 256,
  openFiles: 1024,
  fileSizeBytes: 256 * MiB,
  temporaryBytes: 64 * MiB,
  runTimeMs: 0,
};

/** The most that setTimeout takes, in milliseconds: 24 days. */
const longestRunTimeMs = 2 ** 31 - 1;

/** @throws BabelhostError `containerFailed` if a limit is no positive number, or not a whole one where only that counts */
export function checkLimits(limits: Limits): void {
  const { runTimeMs, ...rest } = limits;
  if (!Number.isSafeInteger(runTimeMs) || runTimeMs < 0 || runTimeMs > longestRunTimeMs) {
    throw new BabelhostError(
      'containerFailed',
      `The limit runTimeMs is a whole number up to ${longestRunTimeMs}, or 0 for none, not ${runTimeMs}.`,
      { name: 'runTimeMs', value: runTimeMs },
    );
  }
  for (const [name, value] of Object.entries(rest) as [keyof Limits, number][]) {
    const valid = name === 'cpus' ? Number.isFinite(value) : Number.isSafeInteger(value);
    if (valid && value > 0) continue;
    throw new BabelhostError('containerFailed', `The limit ${name} is a positive number, not ${value}.`, {
      name,
      value,
    });
  }
}
