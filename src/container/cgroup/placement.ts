// Where this host's containers have their cgroups, who makes them, and which controllers limit them there.
import { mkdir, writeFile } from 'node:fs/promises';
import { constants } from 'node:fs';
import path from 'node:path';
import { mayUse, readOrEmpty } from '../sync-fs.ts';
import type { CgroupLayout, Controller, ControllerFolder, ControllerFolders, Hierarchy } from './cgroup.ts';
import type { Limits } from '../limits.ts';
import type { IdMapping } from '../oci/id-mapping.ts';
import type { CgroupResources } from '../oci/spec.ts';

export const limitingControllers = ['memory', 'pids', 'cpu'] as const satisfies readonly Controller[];

export interface CgroupPlacement {
  /** The name of this host's cgroups. */
  readonly name: string;
  /**
   * 'runtime': the runtime makes a container's cgroup and sets its limits. 'joined': babelhost makes it, and the
   * runtime is executed in it. 'none': this process may not make cgroups.
   */
  readonly maker: 'runtime' | 'joined' | 'none';
  /** This host's own cgroup in each hierarchy. Nobody else's, so it can be removed with all in it. */
  readonly hostFolders: readonly string[];
  /** Which of these limits or counts what. */
  readonly controllers: ControllerFolders;
  /** Why a controller is not in `controllers`. */
  readonly reason?: string;
}

/** Processor time is shared out in periods of this length, in microseconds: the kernel's default. */
const cpuPeriodUs = 100_000;

/**
 * Decides where containers have their cgroups.
 * @param runtime crun makes no cgroups for us: it refuses hierarchies that runc takes, so it is executed in ready ones
 * @param name the name of this host's cgroups
 */
export function placeCgroups(
  layout: CgroupLayout,
  idMapping: IdMapping,
  runtime: string,
  name: string,
): CgroupPlacement {
  const parents = idMapping.kind === 'privileged' ? rootParents(layout) : delegatedParent(layout);
  if (typeof parents === 'string') return { name, maker: 'none', hostFolders: [], controllers: {}, reason: parents };
  const maker = idMapping.kind === 'privileged' && runtime !== 'crun' ? 'runtime' : 'joined';
  const controllers: Partial<Record<Controller, ControllerFolder>> = {};
  for (const controller of [...limitingControllers, 'cpuacct'] as const) {
    const parent = parents.find((each) => each.controllers.includes(controller));
    if (parent) controllers[controller] = { version: parent.version, folder: path.join(parent.folder, name) };
  }
  const hostFolders =
    maker === 'runtime'
      ? parents.map(({ folder }) => path.join(folder, name))
      : [...new Set(Object.values(controllers).map(({ folder }) => folder))];
  const reason = parents.find((each) => each.reason !== undefined)?.reason;
  return { name, maker, hostFolders, controllers, ...(reason !== undefined && { reason }) };
}

/** A cgroup that containers' cgroups are to be below. */
interface Parent {
  readonly version: 1 | 2;
  readonly folder: string;
  /** The controllers that it can share out. */
  readonly controllers: readonly string[];
  /** Why it shares out no others. */
  readonly reason?: string;
}

/** The root of each hierarchy, or why root may make no cgroups there. */
function rootParents({ hierarchies }: CgroupLayout): Parent[] | string {
  if (hierarchies.length === 0) return 'no cgroup is mounted';
  const closed = hierarchies.find(({ mountPoint }) => !mayUse(mountPoint, constants.W_OK));
  if (closed !== undefined) return `${closed.mountPoint} is read-only`;
  return hierarchies.map((hierarchy) => parentIn(hierarchy, hierarchy.mountPoint));
}

/**
 * An ordinary user may be given part of the v2 hierarchy: systemd does so for its user sessions. A cgroup that has
 * processes cannot share out its controllers (the "no internal processes" rule, cgroup-v2.rst), and our own has us; so
 * containers' cgroups are made beside it. Returns the parent of ours, or why none can be made there.
 */
function delegatedParent({ kind, hierarchies }: CgroupLayout): Parent[] | string {
  if (kind === 'none') return 'no cgroup is mounted';
  const [hierarchy] = hierarchies;
  if (kind !== 'v2' || hierarchy === undefined) {
    return 'cgroup v1 cannot be delegated: it takes root with CAP_SYS_ADMIN';
  }
  if (hierarchy.own === '/') return 'the cgroup of this process is the root';
  const folder = path.join(hierarchy.mountPoint, path.dirname(hierarchy.own));
  for (const file of ['.', 'cgroup.procs', 'cgroup.subtree_control']) {
    if (mayUse(path.join(folder, file), constants.W_OK)) continue;
    return `${folder} is not delegated to this user: 'systemd-run --user --scope -p Delegate=yes' makes one that is`;
  }
  return [parentIn(hierarchy, folder)];
}

/**
 * Looks up which controllers a v2 cgroup can share out: all that it was given, unless it has processes of its own. Then
 * it is those that it shared out before it got them, if any; only the hierarchy's true root is exempt, and has no type.
 */
function parentIn({ version, controllers }: Hierarchy, folder: string): Parent {
  if (version === 1) return { version, folder, controllers };
  const words = (file: string) => readOrEmpty(path.join(folder, file)).split(/\s+/).filter(Boolean);
  const occupied = words('cgroup.type').length > 0 && words('cgroup.procs').length > 0;
  const reason = occupied
    ? `${folder} has processes of its own and so cannot share out controllers: move them into a cgroup below it`
    : `${folder} was not given that controller: its Delegate= or its parent's cgroup.subtree_control has to name it`;
  return { version, folder, controllers: words(occupied ? 'cgroup.subtree_control' : 'cgroup.controllers'), reason };
}

/** The cgroups of one container. */
export function containerCgroups(placement: CgroupPlacement, id: string): ControllerFolders {
  const folders = Object.entries(placement.controllers).map(([controller, { version, folder }]) => [
    controller,
    { version, folder: path.join(folder, id) },
  ]);
  return Object.fromEntries(folders) as ControllerFolders;
}

/** The folders of one container's cgroups, in every hierarchy. */
export function containerFolders(placement: CgroupPlacement, id: string): string[] {
  return placement.hostFolders.map((folder) => path.join(folder, id));
}

/** Processor time for each period, in microseconds; the kernel takes no less than a millisecond. */
const cpuQuotaUs = ({ cpus }: Limits) => Math.max(1000, Math.round(cpus * cpuPeriodUs));

/** The limits as the runtime takes them. */
export function cgroupResources(placement: CgroupPlacement, limits: Limits): CgroupResources {
  const { memory, cpu, pids } = placement.controllers;
  return {
    // The swap of the specification is memory and swap together: equal to the memory, there is none.
    ...(memory && { memory: { limit: limits.memoryBytes, swap: limits.memoryBytes } }),
    ...(cpu && { cpu: { quota: cpuQuotaUs(limits), period: cpuPeriodUs } }),
    ...(pids && { pids: { limit: limits.processes } }),
  };
}

/** Makes this host's own cgroups, where babelhost makes them. */
export async function makeHostCgroups(placement: CgroupPlacement): Promise<void> {
  if (placement.maker !== 'joined') return;
  for (const folder of placement.hostFolders) {
    await mkdir(folder, { recursive: true });
    const enabled = Object.entries(placement.controllers)
      .filter(([, controller]) => controller.version === 2 && controller.folder === folder)
      .map(([controller]) => `+${controller}`);
    if (enabled.length === 0) continue;
    // The parent's first: a cgroup can share out only what it was given.
    for (const each of [path.dirname(folder), folder]) {
      // r+: the kernel's files must not be created or truncated.
      await writeFile(path.join(each, 'cgroup.subtree_control'), enabled.join(' '), { flag: 'r+' });
    }
  }
}

/**
 * Arguments of a request to the guard's starter (native/request.c) that make and join the cgroups of one container, with
 * their limits, where babelhost makes them. `--try` passes over a file that the kernel is built without (swap accounting).
 */
export function makingArguments(placement: CgroupPlacement, id: string, limits: Limits): string[] {
  if (placement.maker !== 'joined') return [];
  const { memory, cpu, pids } = containerCgroups(placement, id);
  const settings: [string | undefined, '--set' | '--try', string, string | number][] = [];
  if (memory?.version === 1) {
    settings.push([memory.folder, '--set', 'memory.limit_in_bytes', limits.memoryBytes]);
    settings.push([memory.folder, '--try', 'memory.memsw.limit_in_bytes', limits.memoryBytes]);
  } else {
    settings.push([memory?.folder, '--set', 'memory.max', limits.memoryBytes]);
    settings.push([memory?.folder, '--try', 'memory.swap.max', 0]);
  }
  if (cpu?.version === 1) {
    settings.push([cpu.folder, '--set', 'cpu.cfs_period_us', cpuPeriodUs]);
    settings.push([cpu.folder, '--set', 'cpu.cfs_quota_us', cpuQuotaUs(limits)]);
  } else {
    settings.push([cpu?.folder, '--set', 'cpu.max', `${cpuQuotaUs(limits)} ${cpuPeriodUs}`]);
  }
  settings.push([pids?.folder, '--set', 'pids.max', limits.processes]);
  return containerFolders(placement, id).flatMap((folder) => [
    ...['--cgroup', folder, '--make'],
    ...settings.filter(([of]) => of === folder).flatMap(([, option, file, value]) => [option, file, String(value)]),
  ]);
}

/** The same for joining the cgroups of a container that runs. */
export function joiningArguments(placement: CgroupPlacement, id: string): string[] {
  if (placement.maker !== 'joined') return [];
  return containerFolders(placement, id).flatMap((folder) => ['--cgroup', folder]);
}
