// What installs, builds and pushes have in common: options, and the progress that they report.
import type { Digest } from './digest.ts';
import type { Credentials } from './registry/settings.ts';

/** One step of progress. Within a phase and layer, `done` only grows; both are bytes. */
export interface Progress {
  readonly phase: 'resolve' | 'fetch' | 'unpack' | 'collect' | 'push';
  /** The layer's digest, where the phase goes layer by layer. */
  readonly layer?: Digest;
  readonly done: number;
  readonly total?: number;
}

export type OnProgress = (progress: Progress) => void;

export interface OperationOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** For the registry, instead of those that files have. Never logged or stored. */
  readonly credentials?: Credentials | undefined;
}
