// What the drivers room needs of a running container, and the error of a driver that ended. Tests of the pool give it
// plain child processes.
import { BabelhostError } from '../../base/errors.ts';
import type { Container, ContainerExit } from '../../container/index.ts';

type Needed = 'pid' | 'stdin' | 'stdout' | 'stderr' | 'exited' | 'processes' | 'usage' | 'outOfMemory' | 'kill';

export interface DriverProcess extends Pick<Container, Needed> {
  readonly id: string;
}

/** A sentence for how a driver ended. */
function describeExit(exit: ContainerExit): string {
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
 * @param how its exit, or a reason in English where it has not exited yet
 * @param stderr the last that it wrote to its stderr
 */
export function driverCrashed(
  { id, language }: { readonly id: string; readonly language: string },
  how: ContainerExit | string,
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
