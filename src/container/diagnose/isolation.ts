// The protections on this machine: what enforces each, or why it is weaker than it could be.
import { BabelhostError } from '../../base/errors.ts';
import type { Controller } from '../cgroup/cgroup.ts';
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

const yes = (name: Protection, by: string): IsolationItem => ({ name, enforced: 'yes', by });

const weaker = (name: Protection, by: string, reason: string): IsolationItem => ({
  name,
  enforced: 'weaker',
  by,
  reason,
});

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
  const missing = placement.reason ?? 'this machine mounts no cgroup hierarchy with that controller';
  const limited = (name: Protection, controller: Controller, otherwise: IsolationItem) => {
    const placed = placement.controllers[controller];
    return placed === undefined ? otherwise : yes(name, `cgroup v${placed.version}`);
  };
  const each = `each process by itself (RLIMIT_DATA), shared memory and /tmp not counted: ${missing}`;
  const counted = `by the count of the user's processes in the container's user namespace (RLIMIT_NPROC): ${missing}`;
  const items = [
    limited('memory', 'memory', weaker('memory', 'rlimit', each)),
    limited('cpu', 'cpu', { name: 'cpu', enforced: 'no', by: '', reason: missing }),
    limited('processes', 'pids', weaker('processes', 'rlimit', counted)),
    yes('openFiles', 'rlimit'),
    yes('fileSize', 'rlimit'),
    yes('temporarySize', 'tmpfs'),
    idMapping.kind === 'own'
      ? weaker(
          'unprivilegedId',
          'user namespace',
          `the container's root is the user that runs babelhost: ${idMapping.reason}`,
        )
      : yes('unprivilegedId', 'user namespace'),
    separateIds(idMapping, lacks),
    yes('userNamespace', 'user namespace'),
    yes('processIsolation', 'pid and IPC namespaces'),
    yes('network', 'network namespace, seccomp'),
    yes('readOnlyRoot', 'mount namespace'),
    separateFiles(lacks),
    yes('capabilities', 'runtime'),
    yes('noNewPrivileges', 'prctl'),
    yes('seccomp', 'seccomp'),
  ];
  return { runtime, identity: idMapping.kind, items };
}

const untried = 'it was not tried, since no guard could be started';

/** What the kernel counts by the user, as in epoll watches and pages of pipes, is counted for each container. */
function separateIds(idMapping: IdMapping, lacks: Guard['lacks'] | undefined): IsolationItem {
  const shared = 'all containers have the same ids, and the limits that the kernel counts by the user:';
  let reason = lacks === undefined ? untried : lacks.ids;
  if (idMapping.kind !== 'privileged') reason = "only root can shift the owners of images' files";
  else if (idMapping.ranges === 0) reason = 'the user namespace that babelhost runs in has no further ids';
  return reason === undefined
    ? yes('separateIds', 'id-mapped mounts')
    : weaker('separateIds', '', `${shared} ${reason}`);
}

/** Locks, leases and notifications on the image's files are each container's own. */
function separateFiles(lacks: Guard['lacks'] | undefined): IsolationItem {
  const shared = 'containers of one image see the locks that others take on its files:';
  const reason = lacks === undefined ? untried : lacks.overlay;
  return reason === undefined ? yes('separateFiles', 'overlay') : weaker('separateFiles', '', `${shared} ${reason}`);
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
