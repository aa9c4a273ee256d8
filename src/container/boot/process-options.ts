// What a process of a container is given: its user, its resource limits, and the options of process 1.
import { readFile } from 'node:fs/promises';
import type { CgroupPlacement } from '../cgroup/placement.ts';
import type { Limits } from '../limits.ts';
import type { ContainerProcess, ProcessOptions, Rlimit } from '../oci/spec.ts';
import { processUser } from '../oci/user.ts';
import type { BootContext, BootOptions } from './boot-context.ts';
import type { ExecutionKind } from './supervised-process.ts';

/** Out-of-memory score of containers: they are killed before the host's other processes when the machine runs out. */
const oomScoreAdj = 300;

/**
 * Signals that may be queued for a container's processes. They count against the user that made the user namespace, too,
 * which is the user that babelhost runs as: this bounds what all containers together take of it.
 */
const pendingSignals = 128;

/** @throws BabelhostError `containerFailed` if the image does not know the user */
export async function processOptions(
  { idMapping, placement }: BootContext,
  { rootfs, limits }: BootOptions,
  process: ContainerProcess,
  kind: ExecutionKind,
): Promise<ProcessOptions> {
  return {
    process,
    user: await processUser(idMapping, rootfs, process.user),
    rlimits: resourceLimits(limits, await readFile('/proc/self/limits', 'utf8')),
    initArguments: kind === 'command' ? substituteLimits(placement, limits) : undefined,
    // Lowering this process's own score would take a privilege.
    oomScoreAdj: Math.max(oomScoreAdj, Number(await readFile('/proc/self/oom_score_adj', 'utf8'))),
  };
}

/**
 * The resource limits that the runtime sets for a container's processes.
 * @param ownLimits /proc/self/limits (proc_pid_limits(5)): root without CAP_SYS_RESOURCE cannot go above its hard limits
 */
export function resourceLimits(limits: Limits, ownLimits: string): Rlimit[] {
  const wanted: [Rlimit['type'], row: string, number][] = [
    ['RLIMIT_CORE', 'Max core file size', 0],
    ['RLIMIT_NOFILE', 'Max open files', limits.openFiles],
    ['RLIMIT_FSIZE', 'Max file size', limits.fileSizeBytes],
    ['RLIMIT_MSGQUEUE', 'Max msgqueue size', 0],
    ['RLIMIT_MEMLOCK', 'Max locked memory', 64 * 1024],
    ['RLIMIT_SIGPENDING', 'Max pending signals', pendingSignals],
    ['RLIMIT_NICE', 'Max nice priority', 0],
    ['RLIMIT_RTPRIO', 'Max realtime priority', 0],
  ];
  return wanted.map(([type, row, value]) => {
    // After the soft limit; 'unlimited' where there is none.
    const hard = new RegExp(`^${row} +\\S+ +(\\d+)`, 'm').exec(ownLimits)?.[1];
    const limit = Math.min(value, Number(hard ?? Infinity));
    return { type, soft: limit, hard: limit };
  });
}

/**
 * The nearest resource limits for what no cgroup limits, as process 1 sets them for its command. RLIMIT_DATA counts
 * private writable memory and not what is merely reserved, which Node, the JVM and Go do by the gigabyte; so it is
 * nearer to a limit on memory than RLIMIT_AS. RLIMIT_NPROC counts in the container's own user namespace (Linux 5.14).
 */
function substituteLimits(placement: CgroupPlacement, limits: Limits): string[] {
  const { memory, pids } = placement.controllers;
  return [
    ...(memory === undefined ? ['--data', String(limits.memoryBytes)] : []),
    ...(pids === undefined ? ['--processes', String(limits.processes)] : []),
  ];
}
