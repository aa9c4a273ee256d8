// What is in force on this machine: each protection, what enforces it, and what is weaker than it could be and why.
import { BabelhostError } from '../../base/errors.ts';
import type { CgroupPlacement } from '../cgroup/placement.ts';
import type { Guard } from '../guard/guard.ts';
import type { IdMapping } from '../oci/id-mapping.ts';

export const protections = [
  'memory',
  'cpu',
  'processes',
  'openFiles',
  'fileSize',
  'temporarySize',
  'unprivilegedId',
  'separateIds',
  'userNamespace',
  'processIsolation',
  'network',
  'readOnlyRoot',
  'separateFiles',
  'capabilities',
  'noNewPrivileges',
  'seccomp',
] as const;
export type Protection = (typeof protections)[number];

export interface IsolationItem {
  readonly name: Protection;
  readonly enforced: 'yes' | 'weaker' | 'no';
  /** 'cgroup v1', 'cgroup v2', 'rlimit', 'user namespace', 'seccomp', …; '' where nothing does. */
  readonly by: string;
  /** Why it is weaker, or not enforced. */
  readonly reason?: string;
}

export interface IsolationReport {
  readonly runtime: string;
  readonly identity: IdMapping['kind'];
  readonly items: readonly IsolationItem[];
}

/**
 * What is in force for containers made in this way.
 * @param lacks what the guard found lacking; undefined where there is no guard that could try it
 */
export function reportIsolation(
  runtime: string,
  idMapping: IdMapping,
  placement: CgroupPlacement,
  lacks: Guard['lacks'] | undefined,
): IsolationReport {
  const { memory, cpu, pids } = placement.controllers;
  const missing = placement.reason ?? 'this machine mounts no cgroup hierarchy with that controller';
  const items: IsolationItem[] = [
    memory === undefined
      ? {
          name: 'memory',
          enforced: 'weaker',
          by: 'rlimit',
          reason: `each process by itself (RLIMIT_DATA), shared memory and /tmp not counted: ${missing}`,
        }
      : { name: 'memory', enforced: 'yes', by: `cgroup v${memory.version}` },
    cpu === undefined
      ? { name: 'cpu', enforced: 'no', by: '', reason: missing }
      : { name: 'cpu', enforced: 'yes', by: `cgroup v${cpu.version}` },
    pids === undefined
      ? {
          name: 'processes',
          enforced: 'weaker',
          by: 'rlimit',
          reason: `by the count of the user's processes in the container's user namespace (RLIMIT_NPROC): ${missing}`,
        }
      : { name: 'processes', enforced: 'yes', by: `cgroup v${pids.version}` },
    { name: 'openFiles', enforced: 'yes', by: 'rlimit' },
    { name: 'fileSize', enforced: 'yes', by: 'rlimit' },
    { name: 'temporarySize', enforced: 'yes', by: 'tmpfs' },
    idMapping.kind === 'own'
      ? {
          name: 'unprivilegedId',
          enforced: 'weaker',
          by: 'user namespace',
          reason: `the container's root is the user that runs babelhost: ${idMapping.reason}`,
        }
      : { name: 'unprivilegedId', enforced: 'yes', by: 'user namespace' },
    separateIds(idMapping, lacks),
    { name: 'userNamespace', enforced: 'yes', by: 'user namespace' },
    { name: 'processIsolation', enforced: 'yes', by: 'pid and IPC namespaces' },
    { name: 'network', enforced: 'yes', by: 'network namespace, seccomp' },
    { name: 'readOnlyRoot', enforced: 'yes', by: 'mount namespace' },
    separateFiles(lacks),
    { name: 'capabilities', enforced: 'yes', by: 'runtime' },
    { name: 'noNewPrivileges', enforced: 'yes', by: 'prctl' },
    { name: 'seccomp', enforced: 'yes', by: 'seccomp' },
  ];
  return { runtime, identity: idMapping.kind, items };
}

const untried = 'it was not tried, since no guard could be started';

/** What the kernel counts by the user, as in epoll watches and pages of pipes, is counted for each container. */
function separateIds(idMapping: IdMapping, lacks: Guard['lacks'] | undefined): IsolationItem {
  const name = 'separateIds';
  const shared = 'all containers have the same ids, and the limits that the kernel counts by the user:';
  const weaker = (reason: string): IsolationItem => ({
    name,
    enforced: 'weaker',
    by: '',
    reason: `${shared} ${reason}`,
  });
  if (idMapping.kind !== 'privileged') return weaker("only root can shift the owners of images' files");
  if (idMapping.ranges === 0) return weaker('the user namespace that babelhost runs in has no further ids');
  if (lacks === undefined) return weaker(untried);
  if (lacks.ids !== undefined) return weaker(lacks.ids);
  return { name, enforced: 'yes', by: 'id-mapped mounts' };
}

/** Locks, leases and notifications on the image's files are each container's own. */
function separateFiles(lacks: Guard['lacks'] | undefined): IsolationItem {
  const name = 'separateFiles';
  const reason = lacks === undefined ? untried : lacks.overlay;
  if (reason === undefined) return { name, enforced: 'yes', by: 'overlay' };
  const shared = 'containers of one image see the locks that others take on its files:';
  return { name, enforced: 'weaker', by: '', reason: `${shared} ${reason}` };
}

/** @throws BabelhostError `containerFailed` if a protection that is required is not fully enforced */
export function checkRequired(report: IsolationReport, required: readonly string[]): void {
  for (const name of required) {
    const item = report.items.find((candidate) => candidate.name === name);
    if (item === undefined) {
      throw new BabelhostError(
        'containerFailed',
        `'${name}' is required, but there is no such protection: those are ${protections.join(', ')}.`,
        { required: name, protections },
      );
    }
    if (item.enforced !== 'yes') {
      throw new BabelhostError(
        'containerFailed',
        `The protection '${name}' is required and is ${item.enforced === 'no' ? 'not enforced' : 'weaker'} here: ` +
          `${item.reason ?? 'no reason is known'}. 'babelhost doctor' shows how to mend it.`,
        { required: name, item },
      );
    }
  }
}
