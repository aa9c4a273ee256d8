// How a container ended, from what its process 1, the guard and the kernel report.
import type { ContainerReport, EndReport } from './channel.ts';

export type ContainerExit =
  /**
   * The process returned this status. With `outOfMemoryBytes`, the limit on memory, if the kernel had killed another
   * process of the container before because all of them together used more than that.
   */
  | { readonly reason: 'exited'; readonly code: number; readonly outOfMemoryBytes?: number }
  /** The process was ended by this signal, from within the container or through `Container.signal`. */
  | { readonly reason: 'signaled'; readonly signal: number }
  /** The kernel killed a process of the container because all of them together used more than `limitBytes`. */
  | { readonly reason: 'outOfMemory'; readonly limitBytes: number }
  /** It was ended because it had run for as long as it may (`Limits.runTimeMs`). */
  | { readonly reason: 'outOfTime'; readonly limitMs: number }
  /** It was ended because one of its processes wrote `line`, which only ours may write, to the channel. */
  | { readonly reason: 'protocolFault'; readonly line: string }
  /** It was ended from outside: by `Container.kill`, with its host, or by somebody who killed its process 1. */
  | { readonly reason: 'killed' };

/** What is known of an end. */
export interface End {
  /** What process 1 reported, confirmed by the guard. */
  readonly report: EndReport | undefined;
  /** Whether the host asked for its end. */
  readonly killed: boolean;
  /** The limit, if the kernel killed a process in the container's cgroup for want of memory. */
  readonly outOfMemory?: number | undefined;
  /** The limit, if that is why the host asked for its end. */
  readonly outOfTime?: number;
  /** The forged line, if that is why the host asked for its end. */
  readonly fault?: string;
}

export function exitOf({ report, killed, outOfMemory, outOfTime, fault }: End): ContainerExit {
  if (fault !== undefined) return { reason: 'protocolFault', line: fault };
  // A driver may survive the end of one of its processes and exit by itself: that is how it ended then. A shell that only
  // passes on how its command ended exits with 128 and the signal's number, SIGKILL's 9.
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

/** The status that process 1 exits with when its channel ends: as if by SIGKILL. */
const endedByHost = 128 + 9;

/**
 * How a command ended: as process 1 reported, if the guard saw it exit accordingly (native/init), with the command's status
 * or 128 and its signal; else as the guard saw it exit. If process 1 was killed, nothing is known of its command.
 * @param last what process 1 reported last
 * @param status of process 1, as of wait(2); undefined where the guard is gone, and nobody else can tell
 */
export function confirmedEnd(last: ContainerReport | undefined, status: number | undefined): EndReport | undefined {
  const report = last?.kind === 'exited' || last?.kind === 'signaled' ? last : undefined;
  const seen = endOf(status);
  if (seen === undefined) return report;
  if (seen.kind === 'signaled') return undefined;
  const said = report?.kind === 'signaled' ? 128 + report.signal : report?.code;
  if (said === seen.code) return report;
  return seen.code === endedByHost ? undefined : seen;
}
