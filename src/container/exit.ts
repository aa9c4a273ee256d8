// How a container ended, as its process 1 and the kernel tell it.
import type { ContainerReport } from './control.ts';

export type ContainerExit =
  /**
   * The process returned this status. With `outOfMemoryBytes`, the limit on memory, where the kernel had ended another
   * process of the container before because all of them together used more than that.
   */
  | { readonly reason: 'exited'; readonly code: number; readonly outOfMemoryBytes?: number }
  /** The process was ended by this signal, from within the container or through `Container.signal`. */
  | { readonly reason: 'signaled'; readonly signal: number }
  /** The kernel ended a process of the container because all of them together used more than `limitBytes`. */
  | { readonly reason: 'outOfMemory'; readonly limitBytes: number }
  /** It was ended because it had run for as long as it may (`Limits.runTimeMs`). */
  | { readonly reason: 'outOfTime'; readonly limitMs: number }
  /** It was ended from outside: by `Container.kill`, with its host, or by somebody who killed its process 1. */
  | { readonly reason: 'killed' };

/**
 * Tells how a container ended.
 * @param report what its process 1 said last
 * @param killed whether the host asked for its end
 * @param outOfTime the limit, if that is why the host asked for its end
 * @param outOfMemory the limit, if the kernel counted an end for want of memory in the container's cgroup
 */
export function exitOf(
  report: ContainerReport | undefined,
  killed: boolean,
  outOfMemory: number | undefined,
  outOfTime?: number,
): ContainerExit {
  // A driver may survive the end of one of its processes and exit in its own way: then that is how it ended. A shell
  // that passes the end of its command on says so with 128 and the signal's number, SIGKILL's 9.
  const passedOn = report?.kind === 'exited' && report.code === 137 && outOfMemory !== undefined;
  if (report?.kind === 'exited' && !passedOn) {
    const { code } = report;
    return { reason: 'exited', code, ...(outOfMemory !== undefined && { outOfMemoryBytes: outOfMemory }) };
  }
  if (outOfMemory !== undefined) return { reason: 'outOfMemory', limitBytes: outOfMemory };
  if (outOfTime !== undefined) return { reason: 'outOfTime', limitMs: outOfTime };
  if (report?.kind === 'signaled' && !killed) return { reason: 'signaled', signal: report.signal };
  return { reason: 'killed' };
}
