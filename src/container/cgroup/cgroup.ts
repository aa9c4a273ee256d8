// The cgroup hierarchies of this machine, the place in them that is this host's own, and what they tell of a container.
import { readFileSync } from 'node:fs';
import { readFile, readdir, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../../base/errors.ts';
import { readOrEmpty } from '../sync-fs.ts';

export type Controller = 'memory' | 'pids' | 'cpu';

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

/** Reads at once what the kernel has at hand: Node's threads would take longer, and a host's start waits for it. */
export function readCgroupLayout(): CgroupLayout {
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8');
  // Kernels without cgroups have no such file.
  const cgroup = readOrEmpty('/proc/self/cgroup');
  return parseCgroupLayout(mountinfo, cgroup, (mountPoint) => readOrEmpty(path.join(mountPoint, 'cgroup.controllers')));
}

/** The hierarchy that has a controller, if one does. */
export function hierarchyOf(layout: CgroupLayout, controller: Controller): Hierarchy | undefined {
  return layout.hierarchies.find(({ controllers }) => controllers.includes(controller));
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

async function readNumber(file: string): Promise<number | undefined> {
  try {
    const text = (await readFile(file, 'utf8')).trim();
    return /^\d+$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

/** The number after `key` in a file of "key number" lines; undefined if there is no such file or key. */
async function readKeyed(file: string, key: string): Promise<number | undefined> {
  try {
    const found = new RegExp(`^${key} (\\d+)$`, 'm').exec(await readFile(file, 'utf8'))?.[1];
    return found === undefined ? undefined : Number(found);
  } catch {
    return undefined;
  }
}

/** What one container's cgroups are: a folder in each hierarchy that limits it. */
export interface ContainerCgroups {
  readonly memory?: { readonly version: 1 | 2; readonly folder: string };
  readonly cpu?: { readonly version: 1 | 2; readonly folder: string };
  readonly cpuacct?: { readonly folder: string };
  readonly pids?: { readonly version: 1 | 2; readonly folder: string };
}

/** How many processes of the container the kernel has killed because its memory was used up. */
export async function countOutOfMemory(cgroups: ContainerCgroups): Promise<number> {
  const { memory } = cgroups;
  if (memory === undefined) return 0;
  // cgroup-v1/memory.rst section 10; cgroup-v2.rst, memory.events.
  const file = memory.version === 1 ? 'memory.oom_control' : 'memory.events';
  return (await readKeyed(path.join(memory.folder, file), 'oom_kill')) ?? 0;
}

/** Memory and processor time used so far; undefined where no cgroup counts it. */
export async function readUsage(
  cgroups: ContainerCgroups,
): Promise<{ memoryBytes: number | undefined; cpuMs: number | undefined }> {
  const { memory, cpu, cpuacct } = cgroups;
  const [memoryBytes, cpuUs, cpuNs] = await Promise.all([
    memory && readNumber(path.join(memory.folder, memory.version === 1 ? 'memory.usage_in_bytes' : 'memory.current')),
    cpu?.version === 2 ? readKeyed(path.join(cpu.folder, 'cpu.stat'), 'usage_usec') : undefined,
    cpuacct && readNumber(path.join(cpuacct.folder, 'cpuacct.usage')),
  ]);
  const cpuMs = cpuUs !== undefined ? cpuUs / 1e3 : cpuNs !== undefined ? cpuNs / 1e6 : undefined;
  return { memoryBytes, cpuMs };
}
