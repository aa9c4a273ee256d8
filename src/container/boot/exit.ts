// How a container ended, as its process 1, the guard and the kernel tell it.
import type { EndReport } from './control.ts';

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
  /** It was ended because one of its processes wrote `line` in the place of a process of ours. */
  | { readonly reason: 'protocolFault'; readonly line: string }
  /** It was ended from outside: by `Container.kill`, with its host, or by somebody who killed its process 1. */
  | { readonly reason: 'killed' };

/** What is known of an end. */
export interface End {
  /** How it ended: what its process 1 said, once the guard has borne that out. */
  readonly report: EndReport | undefined;
  /** Whether the host asked for its end. */
  readonly killed: boolean;
  /** The limit, if the kernel counted an end for want of memory in the container's cgroup. */
  readonly outOfMemory?: number | undefined;
  /** The limit, if that is why the host asked for its end. */
  readonly outOfTime?: number | undefined;
  /** What was said, if that is why the host asked for its end. */
  readonly fault?: string | undefined;
}

/** Tells how a container ended. */
export function exitOf({ report, killed, outOfMemory, outOfTime, fault }: End): ContainerExit {
  if (fault !== undefined) return { reason: 'protocolFault', line: fault };
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

/** How a process ended by its status as of wait(2); undefined where none is known. */
export function endOf(status: number | undefined): EndReport | undefined {
  if (status === undefined) return undefined;
  const signal = status & 0x7f;
  return signal === 0 ? { kind: 'exited', code: (status >> 8) & 0xff } : { kind: 'signaled', signal };
}

/** What process 1 exits with when its channel ends: as if by SIGKILL. */
const endedByHost = 128 + 9;

/**
 * How a command ended: as process 1 said, if it exited as it does then (native/init), with the command's status or 128
 * and its signal; else as the guard saw process 1 end. Where that was ended itself there is nothing to say of its command.
 * @param status of process 1, as of wait(2); undefined where the guard is gone, and nobody else can tell
 */
export function confirmedEnd(report: EndReport | undefined, status: number | undefined): EndReport | undefined {
  const seen = endOf(status);
  if (seen === undefined) return report;
  if (seen.kind === 'signaled') return undefined;
  const said = report?.kind === 'signaled' ? 128 + report.signal : report?.code;
  if (said === seen.code) return report;
  return seen.code === endedByHost ? undefined : seen;
}
