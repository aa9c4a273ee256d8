// The limits of containers that are handled through definitions: those of every container, with two that only somebody
// who follows a container can keep; and the bounds of the lifecycle itself.
import { BabelhostError } from '../../base/errors.ts';
import { checkLimits, defaultLimits, type Limits } from '../limits.ts';

export interface RunLimits extends Limits {
  /** What its writable layer may hold, in bytes. Looked at every `layerCheckMs`: a fast writer gets a little further. */
  readonly layerBytes: number;
  /** Files, folders and links in it, each of which takes an inode of the disk. Looked at together with `layerBytes`. */
  readonly layerFiles: number;
}

export const defaultRunLimits: RunLimits = { ...defaultLimits, layerBytes: 1024 ** 3, layerFiles: 262_144 };

/** Limits as a client gives them: -1 stands for the default, and what is not named stays as it is. */
export type LimitChanges = { readonly [Name in keyof RunLimits]?: number | undefined };

/**
 * Applies changes to the limits that a definition sets itself.
 * @throws BabelhostError `containerFailed` naming the limit that cannot be so
 */
export function changeLimits(own: Partial<RunLimits>, changes: LimitChanges): Partial<RunLimits> {
  const changed: Record<string, number> = { ...own };
  for (const [name, value] of Object.entries(changes) as [keyof RunLimits, number | undefined][]) {
    if (value === undefined) continue;
    if (value === -1) Reflect.deleteProperty(changed, name);
    else changed[name] = value;
  }
  fullLimits(changed);
  return changed;
}

/**
 * All limits of a container, its own before the defaults.
 * @throws BabelhostError `containerFailed`
 */
export function fullLimits(own: Partial<RunLimits>): RunLimits {
  const limits = { ...defaultRunLimits, ...own };
  const { layerBytes, layerFiles, ...rest } = limits;
  checkLimits(rest);
  for (const [name, value] of Object.entries({ layerBytes, layerFiles })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new BabelhostError('containerFailed', `The limit ${name} is a positive number, not ${value}.`, {
      name,
      value,
    });
  }
  return limits;
}

/** Those of them that ContainerRuntime.boot takes. */
export function bootLimits(own: Partial<RunLimits>): Limits {
  const { memoryBytes, cpus, processes, openFiles, fileSizeBytes, temporaryBytes, runTimeMs } = fullLimits(own);
  return { memoryBytes, cpus, processes, openFiles, fileSizeBytes, temporaryBytes, runTimeMs };
}

/** The bounds of a registry of containers. Sizes in bytes, times in milliseconds. */
export interface LifecycleLimits {
  /** Definitions in a store. */
  readonly definitions: number;
  /** Handles that are open at once. */
  readonly handles: number;
  /** A handle that nobody used for so long is gone. */
  readonly handleMs: number;
  /** Files that one handle, or the definition of one stopped container, may hold to be copied, and one file out. */
  readonly copyBytes: number;
  readonly copyFiles: number;
  /** How long a copy may take, into a container or out of it, or into one that is being started. */
  readonly copyMs: number;
  /** What is kept of a container's output, and of a further process's. */
  readonly logBytes: number;
  readonly processLogBytes: number;
  /** Further processes that run in a container at once; of those that ended, as many are remembered. */
  readonly processes: number;
  /** How long a container has to end after SIGTERM before it is killed. */
  readonly stopMs: number;
  readonly layerCheckMs: number;
}

export const defaultLifecycleLimits: LifecycleLimits = {
  definitions: 10_000,
  handles: 256,
  handleMs: 10 * 60_000,
  copyBytes: 32 * 1024 ** 2,
  copyFiles: 1024,
  copyMs: 30_000,
  logBytes: 1024 ** 2,
  processLogBytes: 256 * 1024,
  processes: 64,
  stopMs: 10_000,
  layerCheckMs: 2000,
};
