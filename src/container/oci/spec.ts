// The OCI runtime configuration (config.json) of a container: all that it gets, and what isolates it. Reads and writes
// nothing.
// https://github.com/opencontainers/runtime-spec/blob/main/config.md
import type { Limits } from '../limits.ts';
import type { IdRange } from './id-mapping.ts';
import { seccompProfile } from './seccomp.ts';
import type { ContainerUser } from './user.ts';

export interface ContainerProcess {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** As an image's configuration has it: '', 'uid', 'uid:gid', or names that the image knows. */
  readonly user: string;
}

/** What a process of a container is given, the first one and later ones. */
export interface ProcessOptions {
  readonly process: ContainerProcess;
  readonly user: ContainerUser;
  readonly rlimits: readonly Rlimit[];
  /** Options of native/init, which the process runs under; undefined if the process is native/init itself. */
  readonly initArguments: readonly string[] | undefined;
  readonly oomScoreAdj: number;
}

export interface SpecOptions extends ProcessOptions {
  /** Undefined for the name around babelhost, where no other may be set (host-name.ts). */
  readonly hostname: string | undefined;
  /** What the runtime is told beyond the specification. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Whether the root file system may be written to (native/rootfs.c). */
  readonly writable: boolean;
  readonly limits: Limits;
  /** Where the guard has mounted `rootfs` and `init` (native/guard.c). */
  readonly stage: string;
  /** What the ids from 0 on are in the namespace that the runtime runs in. */
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
 * Files of /proc that describe the host, or change it: runc's and containerd's list, and those of newer kernels that no
 * interpreter reads. Many read cpuinfo, filesystems, loadavg, meminfo, stat, uptime and version, which stay.
 */
const maskedPaths =
  `acpi asound buddyinfo cmdline config.gz consoles crypto devices diskstats driver interrupts iomem ioports kallsyms
  kcore key-users keys kmsg latency_stats locks mdstat misc modules mtrr pagetypeinfo partitions pressure sched_debug
  schedstat scsi slabinfo softirqs swaps timer_list timer_stats tty vmallocinfo vmstat zoneinfo`
    .split(/\s+/)
    .map((name) => `/proc/${name}`);
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** Where native/init is mounted: on a file system of the container's own, as the shared root is read-only. */
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
    // Room for device nodes and links only: it is memory outside /tmp's limit.
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
    annotations: options.annotations,
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
