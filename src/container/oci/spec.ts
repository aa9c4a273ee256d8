// The OCI runtime configuration (config.json) of a container: what it is isolated from, and how. Everything that a
// container gets is listed here; nothing is added elsewhere. Pure: reads and writes nothing.
// https://github.com/opencontainers/runtime-spec/blob/main/config.md
import type { Limits } from '../limits.ts';
import type { IdRange } from './id-mapping.ts';
import { seccompProfile } from './seccomp.ts';
import type { ContainerUser } from './user.ts';

export interface ContainerProcess {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** What the processes of a container are told, the first one's and later ones'. */
export interface ProcessOptions {
  readonly process: ContainerProcess;
  readonly user: ContainerUser;
  readonly rlimits: readonly Rlimit[];
  /** Options of process 1 (native/init); undefined where it is not needed, as the process is one of ours itself. */
  readonly initArguments: readonly string[] | undefined;
  readonly oomScoreAdj: number;
}

export interface SpecOptions extends ProcessOptions {
  /** Undefined for the one that is around babelhost, where no other may be set (host-name.ts). */
  readonly hostname: string | undefined;
  /** Whether the root file system may be written to: it is an overlay then (native/rootfs.c). */
  readonly writable: boolean;
  readonly limits: Limits;
  /** Where the guard has mounted `rootfs` and `init` (native/guard.c). */
  readonly stage: string;
  /** Ids in the namespace that the runtime runs in: what container id 0 and those after it are there. */
  readonly uids: IdRange;
  readonly gids: IdRange;
  /** Where the runtime makes the container's cgroup, and the limits it sets there; undefined if it makes none. */
  readonly cgroup?: { readonly path: string; readonly resources: CgroupResources };
}

/** The part of `linux.resources` that we use. */
export interface CgroupResources {
  readonly memory?: { readonly limit: number; readonly swap?: number };
  readonly cpu?: { readonly quota: number; readonly period: number };
  readonly pids?: { readonly limit: number };
}

export interface Rlimit {
  readonly type: `RLIMIT_${'CORE' | 'FSIZE' | 'NOFILE' | 'MEMLOCK' | 'MSGQUEUE' | 'NICE' | 'RTPRIO' | 'SIGPENDING'}`;
  readonly soft: number;
  readonly hard: number;
}

/**
 * Files of /proc that tell of the host, or change it: runc's and containerd's list, what newer kernels added, and what no
 * interpreter reads. cpuinfo, filesystems, loadavg, meminfo, stat, uptime and version are read by many, and stay.
 */
const maskedPaths =
  `acpi asound buddyinfo cmdline config.gz consoles crypto devices diskstats driver interrupts iomem ioports kallsyms
  kcore key-users keys kmsg latency_stats locks mdstat misc modules mtrr pagetypeinfo partitions pressure sched_debug
  schedstat scsi slabinfo softirqs swaps timer_list timer_stats tty vmallocinfo vmstat zoneinfo`
    .split(/\s+/)
    .map((name) => `/proc/${name}`);
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/**
 * Where process 1 is found in the container. On /dev, because that is a file system of the container's own: a file in
 * the shared, read-only root would need a place to be mounted on there.
 */
export const initPath = '/dev/init';

function mounts(options: SpecOptions) {
  const temporary = (destination: string, ...extra: string[]) => ({
    destination,
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'nodev', `size=${options.limits.temporaryBytes}`, 'nr_inodes=16k', 'mode=1777', ...extra],
  });
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    // Room for device nodes and links only: whatever could be written there would be memory outside /tmp's limit.
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'noexec', 'strictatime', 'mode=755', 'size=64k', 'nr_inodes=64'],
    },
    temporary('/dev/shm', 'noexec'),
    temporary('/tmp'),
    {
      destination: initPath,
      type: 'bind',
      source: `${options.stage}/init`,
      options: ['bind', 'ro', 'nosuid', 'nodev'],
    },
  ];
}

const mapping = (range: IdRange) => [{ containerID: 0, hostID: range.first, size: range.count }];

/** The `process` object, ready to be serialised. */
export function processSpec({ process, user, rlimits, initArguments, oomScoreAdj }: ProcessOptions) {
  return {
    terminal: false,
    user: {
      uid: user.uid,
      gid: user.gid,
      ...(user.additionalGids.length > 0 && { additionalGids: user.additionalGids }),
    },
    args: initArguments === undefined ? process.args : [initPath, ...initArguments, '--', ...process.args],
    env: Object.entries(process.env).map(([name, value]) => `${name}=${value}`),
    cwd: process.cwd,
    capabilities: { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] },
    noNewPrivileges: true,
    rlimits,
    oomScoreAdj,
  };
}

/** The configuration, ready to be serialised. */
export function containerSpec(options: SpecOptions) {
  return {
    ociVersion: '1.0.2',
    ...(options.hostname !== undefined && { hostname: options.hostname }),
    root: { path: `${options.stage}/rootfs`, readonly: !options.writable },
    process: processSpec(options),
    mounts: mounts(options),
    linux: {
      namespaces: ['pid', 'mount', 'ipc', 'uts', 'network', 'cgroup', 'user'].map((type) => ({ type })),
      uidMappings: mapping(options.uids),
      gidMappings: mapping(options.gids),
      rootfsPropagation: 'private',
      maskedPaths,
      readonlyPaths,
      seccomp: seccompProfile,
      ...(options.cgroup !== undefined && { cgroupsPath: options.cgroup.path, resources: options.cgroup.resources }),
    },
  };
}
