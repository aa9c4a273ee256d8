// The cgroup hierarchies of this machine, and what they count of a container.
import { readFileSync } from 'node:fs';
import { readFile, readdir, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../../base/errors.ts';
import { readOrEmpty } from '../sync-fs.ts';

/** `cpuacct` counts what `cpu` limits, in v1 only. */
export type Controller = 'memory' | 'pids' | 'cpu' | 'cpuacct';

export interface ControllerFolder {
  readonly version: 1 | 2;
  readonly folder: string;
}

/** A cgroup for each controller, by its folder: in v1 they may lie in different hierarchies. */
export type ControllerFolders = Readonly<Partial<Record<Controller, ControllerFolder>>>;

/** A mounted hierarchy. */
export interface Hierarchy {
  readonly version: 1 | 2;
  readonly mountPoint: string;
  /** v1: the controllers mounted there. v2: those that may be enabled there. */
  readonly controllers: readonly string[];
  /** The cgroup of this process in it, relative to the mount point. */
  readonly own: string;
}

export interface CgroupLayout {
  /** 'hybrid': controllers in v1 hierarchies, and a v2 hierarchy beside them. */
  readonly kind: 'v1' | 'v2' | 'hybrid' | 'none';
  readonly hierarchies: readonly Hierarchy[];
}

/** Undoes the escapes of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
const unescape = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));

/** Parses /proc/self/mountinfo and /proc/self/cgroup. `v2Controllers` reads a v2 mount's cgroup.controllers. */
export function parseCgroupLayout(
  mountinfo: string,
  cgroup: string,
  v2Controllers: (mountPoint: string) => string,
): CgroupLayout {
  const ownPaths = new Map<string, string>();
  for (const line of cgroup.trim().split('\n')) {
    const [, controllers = '', ...rest] = line.split(':');
    for (const controller of controllers.split(',')) ownPaths.set(controller, rest.join(':'));
  }
  const hierarchies: Hierarchy[] = [];
  for (const line of mountinfo.trim().split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , root = '/', mountPoint = ''] = left.split(' ').map(unescape);
    const [type, , superOptions = ''] = right.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') continue;
    // Later mounts hide earlier ones of the same place; a hierarchy that is mounted twice is counted once.
    const version = type === 'cgroup' ? 1 : 2;
    const controllers =
      version === 1
        ? superOptions.split(',').filter((option) => option !== 'rw' && option !== 'ro')
        : v2Controllers(mountPoint).trim().split(/\s+/).filter(Boolean);
    if (hierarchies.some((other) => other.version === version && other.controllers.join() === controllers.join())) {
      continue;
    }
    const absolute = ownPaths.get(version === 2 ? '' : (controllers[0] ?? '')) ?? '/';
    const relative = path.relative(root, absolute);
    const own = relative === '' || relative.startsWith('..') ? '/' : `/${relative}`;
    hierarchies.push({ version, mountPoint, controllers, own });
  }
  const versions = new Set(hierarchies.map(({ version }) => version));
  const kind = versions.size === 2 ? 'hybrid' : versions.has(1) ? 'v1' : versions.has(2) ? 'v2' : 'none';
  return { kind, hierarchies };
}

export function readCgroupLayout(): CgroupLayout {
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8');
  // Kernels without cgroups have no such file.
  const cgroup = readOrEmpty('/proc/self/cgroup');
  return parseCgroupLayout(mountinfo, cgroup, (mountPoint) => readOrEmpty(path.join(mountPoint, 'cgroup.controllers')));
}

/** Removes a cgroup and those below it, all empty of processes. What is gone already is no fault. */
export async function removeCgroup(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return;
    // EBUSY: it has cgroups below it, made by whoever had it delegated.
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) await removeCgroup(path.join(folder, entry.name));
    }
    await rmdir(folder);
  }
}

/** A number in a file: its only one, or the one after `key` in a file of "key number" lines. Undefined if there is none. */
async function readNumber(file: string, key?: string): Promise<number | undefined> {
  const pattern = key === undefined ? /^(\d+)$/m : new RegExp(`^${key} (\\d+)$`, 'm');
  const text = await readFile(file, 'utf8').catch(() => '');
  const found = pattern.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** How many processes of the container the kernel has killed because its memory was used up. */
export async function countOutOfMemory({ memory }: ControllerFolders): Promise<number> {
  if (memory === undefined) return 0;
  // cgroup-v1/memory.rst section 10; cgroup-v2.rst, memory.events.
  const file = memory.version === 1 ? 'memory.oom_control' : 'memory.events';
  return (await readNumber(path.join(memory.folder, file), 'oom_kill')) ?? 0;
}

/** Memory and processor time used so far; undefined where no cgroup counts it. */
export async function readUsage({
  memory,
  cpu,
  cpuacct,
}: ControllerFolders): Promise<{ memoryBytes: number | undefined; cpuMs: number | undefined }> {
  const [memoryBytes, cpuUs, cpuNs] = await Promise.all([
    memory && readNumber(path.join(memory.folder, memory.version === 1 ? 'memory.usage_in_bytes' : 'memory.current')),
    cpu?.version === 2 ? readNumber(path.join(cpu.folder, 'cpu.stat'), 'usage_usec') : undefined,
    cpuacct && readNumber(path.join(cpuacct.folder, 'cpuacct.usage')),
  ]);
  const cpuMs = cpuUs !== undefined ? cpuUs / 1e3 : cpuNs !== undefined ? cpuNs / 1e6 : undefined;
  return { memoryBytes, cpuMs };
}
