// What the drivers room needs of a running container: its pipes and its end. The container room's Container is one;
// tests of the pool use a plain child process.
import type { Readable, Writable } from 'node:stream';
import { BabelhostError } from '../../base/errors.ts';

/** How a container ended. */
export type DriverExit =
  /** With the limit on memory, where the kernel had ended another process of the process for that before. */
  | { readonly reason: 'exited'; readonly code: number; readonly outOfMemoryBytes?: number }
  | { readonly reason: 'signaled'; readonly signal: number }
  | { readonly reason: 'outOfMemory'; readonly limitBytes: number }
  /** It lived for longer than its limit. */
  | { readonly reason: 'outOfTime'; readonly limitMs: number }
  /** One of its processes wrote a line in the place of the host's own. */
  | { readonly reason: 'protocolFault'; readonly line: string }
  | { readonly reason: 'killed' };

export interface DriverProcess {
  readonly id: string;
  /** The host's process id of process 1, where the process is a container. */
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Never rejects. */
  readonly exited: Promise<DriverExit>;
  /** The host's process ids of all that runs in it. */
  processes(): Promise<number[]>;
  /** What it uses: memory in bytes, processor time in milliseconds; undefined where nothing counts it. */
  usage(): Promise<{ readonly memoryBytes: number | undefined; readonly cpuMs: number | undefined }>;
  /** The limit on memory in bytes, if the kernel has ended any process of it because all together used more. */
  outOfMemory(): Promise<number | undefined>;
  /** Ends it with SIGKILL; resolves when nothing of it is left. */
  kill(): Promise<unknown>;
}

/** A sentence for how a driver ended. */
function describeExit(exit: DriverExit): string {
  switch (exit.reason) {
    case 'exited':
      return exit.outOfMemoryBytes === undefined
        ? `it exited with status ${exit.code}`
        : `it exited with status ${exit.code}, after one of its processes was ended because they used more memory than their limit of ${exit.outOfMemoryBytes} bytes (limit: memoryBytes)`;
    case 'signaled':
      return `it was ended by signal ${exit.signal}`;
    case 'outOfMemory':
      return `it used more memory than its limit of ${exit.limitBytes} bytes (limit: memoryBytes)`;
    case 'outOfTime':
      return `it lived for longer than its limit of ${exit.limitMs} ms`;
    case 'protocolFault':
      return `one of its processes wrote '${exit.line}' in the place of babelhost's own, and it was ended`;
    case 'killed':
      return 'it was ended';
  }
}

/**
 * The error of a request whose driver ended before it answered.
 * @param how how it ended; in words, where it has yet to
 * @param stderr its last words
 */
export function driverCrashed(
  { id, language }: { readonly id: string; readonly language: string },
  how: DriverExit | string,
  stderr = '',
): BabelhostError {
  const reason = typeof how === 'string' ? how : describeExit(how);
  return new BabelhostError('driverCrashed', `The ${language} driver ended before it answered: ${reason}.`, {
    language,
    instance: id,
    ...(typeof how === 'string' ? { reason } : { exit: how }),
    ...(stderr !== '' && { stderr }),
  });
}
