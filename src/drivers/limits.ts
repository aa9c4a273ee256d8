// What bounds parsing, with the defaults. Each has an option of the command line, and an error that names it.
import { availableParallelism } from 'node:os';
import type { PoolLimits } from './pool.ts';

export interface DriverLimits extends PoolLimits {
  /** The largest source, in bytes. */
  readonly contentBytes: number;
  /** How long a request may take that names no time of its own, in milliseconds. */
  readonly timeoutMs: number;
}

export const defaultDriverLimits: DriverLimits = {
  contentBytes: 32 * 1024 * 1024,
  responseBytes: 512 * 1024 * 1024,
  // Deeper than any parser's own recursion goes; a scanner needs a byte for each level.
  responseDepth: 1_000_000,
  timeoutMs: 30_000,
  maximumInstances: availableParallelism(),
  queueLength: 10_000,
  graceMs: 1000,
  bootMs: 20_000,
};
