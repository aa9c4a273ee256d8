// The limits of containers with a definition: those of every container, and two that babelhost checks itself while one
// runs; and the bounds of the registry.
import { checkLimits, defaultLimits, type Limits } from '../limits.ts';

export interface RunLimits extends Limits {
  /** What its writable layer may hold, in bytes. Checked every `layerCheckMs`: a fast writer gets a little further. */
  readonly layerBytes: number;
  /** Files, folders and links in it, each of which takes an inode of the disk. Checked together with `layerBytes`. */
  readonly layerFiles: number;
}

const defaultRunLimits: RunLimits = { ...defaultLimits, layerBytes: 1024 ** 3, layerFiles: 262_144 };

/** Limits as a client gives them: -1 stands for the default, and those left out are not changed. */
export type LimitChanges = { readonly [Name in keyof RunLimits]?: number | undefined };

/**
 * Applies changes to the limits that a definition sets itself.
 * @throws BabelhostError `containerFailed` naming the limit that is invalid
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
 * All limits of a container: its own, and the defaults of the others.
 * @throws BabelhostError `containerFailed`
 */
export function fullLimits(own: Partial<RunLimits>): RunLimits {
  const limits = { ...defaultRunLimits, ...own };
  // Every member is checked, those of the layer too.
  checkLimits(limits);
  return limits;
}

/** The bounds of a registry of containers. Sizes in bytes, times in milliseconds. */
export interface LifecycleLimits {
  /** Definitions in a store. */
  readonly definitions: number;
  /** Handles that are open at the same time. */
  readonly handles: number;
  /** How long a handle may be unused before it expires. */
  readonly handleMs: number;
  /** Files to be copied, in one handle or in the definition of one stopped container; and one file copied out. */
  readonly copyBytes: number;
  readonly copyFiles: number;
  /** How long a copy may take, into a container or out of it, or into one that is being started. */
  readonly copyMs: number;
  /** How much of a main process's output is kept, and of a further process's. */
  readonly logBytes: number;
  readonly processLogBytes: number;
  /** Further processes that run in a container at the same time, and as many ended ones that are remembered. */
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
