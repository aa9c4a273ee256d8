// The limits of parsing, with their defaults. Each has an option of the command line, and an error that names it.
import { availableParallelism, totalmem } from 'node:os';
import type { PoolLimits } from './pool/options.ts';

export interface DriverLimits extends PoolLimits {
  /** The largest source, in bytes. */
  readonly contentBytes: number;
  /** The most instances of all drivers together. */
  readonly totalInstances: number;
  /** The most memory that the instances of all drivers may hold before no more are started, in bytes. */
  readonly totalMemoryBytes: number;
}

const cores = availableParallelism();
const MiB = 1024 * 1024;
const minute = 60_000;

export const defaultDriverLimits: DriverLimits = {
  contentBytes: 32 * MiB,
  responseBytes: 512 * MiB,
  // Deeper than any parser recurses; a scanner needs a byte for each level.
  responseDepth: 1_000_000,
  timeoutMs: 30_000,
  queueTimeoutMs: 10 * minute,
  queueLength: 10_000,
  graceMs: 1000,
  bootMs: 20_000,
  minimumInstances: 1,
  maximumInstances: cores,
  windowMs: 5000,
  tickMs: 500,
  increase: 1,
  decrease: 0.25,
  idleMs: 15 * minute,
  // A new driver runs unoptimised at first, which costs as much as a thousand requests.
  retireRequests: 100_000,
  retireAgeMs: 60 * minute,
  retireMemoryBytes: 1024 * MiB,
  quarantineMs: 10 * minute,
  totalInstances: 4 * cores,
  totalMemoryBytes: Math.floor(totalmem() * 0.75),
};
