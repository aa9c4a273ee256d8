// How far an operation is, in bytes.
import type { Digest } from './digest.ts';

/** One step of progress. Within a phase and layer, `done` only grows; both are bytes. */
export interface Progress {
  readonly phase: 'resolve' | 'fetch' | 'unpack' | 'collect' | 'push';
  /** The layer's digest, where the phase goes layer by layer. */
  readonly layer?: Digest;
  readonly done: number;
  readonly total?: number;
}

export type OnProgress = (progress: Progress) => void;
