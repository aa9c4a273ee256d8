// Where this host's containers have their cgroups, who makes them, and which controllers limit them there.
import { mkdir, writeFile } from 'node:fs/promises';
import { constants } from 'node:fs';
import path from 'node:path';
import { mayUse, readOrEmpty } from '../sync-fs.ts';
import { hierarchyOf, type CgroupLayout, type ContainerCgroups, type Controller, type Hierarchy } from './cgroup.ts';
import type { Limits } from '../limits.ts';
import type { IdMapping } from '../oci/id-mapping.ts';
import type { CgroupResources } from '../oci/spec.ts';

export const limitingControllers = ['memory', 'pids', 'cpu'] as const satisfies readonly Controller[];

export interface CgroupPlacement {
  /**
   * 'runtime': the runtime makes a container's cgroup and sets its limits. 'joined': babelhost makes it, and the
   * runtime is executed in it. 'none': this process may not make cgroups.
   */
  readonly maker: 'runtime' | 'joined' | 'none';
  /** This host's own cgroup in each hierarchy. Nobody else's, so it can be removed with all in it. */
  readonly hostFolders: readonly string[];
  readonly controllers: Readonly<Partial<Record<Controller | 'cpuacct', PlacedController>>>;
  /** Why a controller is not in `controllers`. */
  readonly reason?: string;
}

export interface PlacedController {
  readonly version: 1 | 2;
  readonly hostFolder: string;
}

/** Processor time is shared out in periods of this length, in microseconds: the kernel's default. */
const cpuPeriodUs = 100_000;

/**
 * Finds the place.
 * @param name the name of this host's cgroup
 * @param runtime crun makes no cgroups for us: it refuses hierarchies that runc takes, so it is executed in ready ones
 */
export function placeCgroups(
  layout: CgroupLayout,
  idMapping: IdMapping,
  runtime: string,
  name: string,
): CgroupPlacement {
  if (layout.kind === 'none') return nowhere('no cgroup is mounted');
  if (idMapping.kind !== 'privileged') return placeDelegated(layout, name);
  for (const { mountPoint } of layout.hierarchies) {
    if (!mayUse(mountPoint, constants.W_OK)) return nowhere(`${mountPoint} is read-only`);
  }
  const places = layout.hierarchies.map((hierarchy) => placeIn(hierarchy, hierarchy.mountPoint));
  return place(places, name, runtime === 'crun' ? 'joined' : 'runtime');
}

const nowhere = (reason: string): CgroupPlacement => ({ maker: 'none', hostFolders: [], controllers: {}, reason });

/**
 * An ordinary user may be given part of the v2 hierarchy: systemd does so for its user sessions. A cgroup that has
 * processes cannot share out its controllers (the "no internal processes" rule, cgroup-v2.rst), and our own has us;
 * the place is beside it.
 */
function placeDelegated(layout: CgroupLayout, name: string): CgroupPlacement {
  const hierarchy = layout.hierarchies.find(({ version }) => version === 2);
  if (layout.kind !== 'v2' || hierarchy === undefined)
    return nowhere('cgroup v1 cannot be delegated: it takes root with CAP_SYS_ADMIN');
  if (hierarchy.own === '/') return nowhere('the cgroup of this process is the root');
  const parent = path.join(hierarchy.mountPoint, path.dirname(hierarchy.own));
  for (const file of ['.', 'cgroup.procs', 'cgroup.subtree_control']) {
    if (!mayUse(path.join(parent, file), constants.W_OK)) {
      return nowhere(
        `${parent} is not delegated to this user: 'systemd-run --user --scope -p Delegate=yes' makes one that is`,
      );
    }
  }
  return place([placeIn(hierarchy, parent)], name, 'joined');
}

/** A cgroup that containers' cgroups are to be below. */
interface Place {
  /** With the controllers that `parent` can share out. */
  readonly hierarchy: Hierarchy;
  readonly parent: string;
  /** Why it shares out no others. */
  readonly reason?: string;
}

/**
 * Looks which controllers `parent` can share out: all that it was given, unless it has processes of its own. Then it
 * is those that it shared out before it got them, if any; only the hierarchy's true root is exempt, and has no type.
 */
function placeIn(hierarchy: Hierarchy, parent: string): Place {
  if (hierarchy.version === 1) return { hierarchy, parent };
  const words = (file: string) => readOrEmpty(path.join(parent, file)).split(/\s+/).filter(Boolean);
  const occupied = words('cgroup.type').length > 0 && words('cgroup.procs').length > 0;
  const controllers = words(occupied ? 'cgroup.subtree_control' : 'cgroup.controllers');
  const reason = occupied
    ? `${parent} has processes of its own and so cannot share out controllers: move them into a cgroup below it`
    : `${parent} was not given that controller: its Delegate= or its parent's cgroup.subtree_control has to name it`;
  return { hierarchy: { ...hierarchy, controllers }, parent, reason };
}

function place(places: readonly Place[], name: string, maker: 'runtime' | 'joined'): CgroupPlacement {
  const layout: CgroupLayout = { kind: 'none', hierarchies: places.map(({ hierarchy }) => hierarchy) };
  const controllers: Partial<Record<Controller | 'cpuacct', PlacedController>> = {};
  for (const controller of [...limitingControllers, 'cpuacct'] as const) {
    const hierarchy = hierarchyOf(layout, controller as Controller);
    const parent = places.find((candidate) => candidate.hierarchy === hierarchy)?.parent;
    if (hierarchy === undefined || parent === undefined) continue;
    controllers[controller] = { version: hierarchy.version, hostFolder: path.join(parent, name) };
  }
  const hostFolders =
    maker === 'runtime'
      ? places.map(({ parent }) => path.join(parent, name))
      : [...new Set(Object.values(controllers).map(({ hostFolder }) => hostFolder))];
  const reason = places.find((each) => each.reason !== undefined)?.reason;
  return { maker, hostFolders, controllers, ...(reason !== undefined && { reason }) };
}

/** The cgroups of one container. */
export function containerCgroups(placement: CgroupPlacement, id: string): ContainerCgroups {
  const folders = Object.entries(placement.controllers).map(([controller, { version, hostFolder }]) => [
    controller,
    { version, folder: path.join(hostFolder, id) },
  ]);
  return Object.fromEntries(folders) as ContainerCgroups;
}

/** The folders of one container's cgroups, in every hierarchy. */
export function containerFolders(placement: CgroupPlacement, id: string): string[] {
  return placement.hostFolders.map((folder) => path.join(folder, id));
}

/** The limits as the runtime takes them. */
export function cgroupResources(placement: CgroupPlacement, limits: Limits): CgroupResources {
  const { memory, cpu, pids } = placement.controllers;
  return {
    // The swap of the specification is memory and swap together: equal to the memory, there is none.
    ...(memory && { memory: { limit: limits.memoryBytes, swap: limits.memoryBytes } }),
    ...(cpu && { cpu: { quota: Math.max(1000, Math.round(limits.cpus * cpuPeriodUs)), period: cpuPeriodUs } }),
    ...(pids && { pids: { limit: limits.processes } }),
  };
}

/** Writes to a control file. */
async function set(folder: string, file: string, value: string): Promise<void> {
  // r+: the kernel's files must not be created or truncated.
  await writeFile(path.join(folder, file), value, { flag: 'r+' });
}

/** Makes this host's own cgroups, where babelhost makes them. */
export async function makeHostCgroups(placement: CgroupPlacement): Promise<void> {
  if (placement.maker !== 'joined') return;
  for (const hostFolder of placement.hostFolders) await mkdir(hostFolder, { recursive: true });
  const enabled = new Map<string, string[]>();
  for (const [controller, { version, hostFolder }] of Object.entries(placement.controllers)) {
    if (version === 2) enabled.set(hostFolder, [...(enabled.get(hostFolder) ?? []), `+${controller}`]);
  }
  for (const [hostFolder, controllers] of enabled) {
    // The parent's first: a cgroup can share out only what it was given.
    await set(path.dirname(hostFolder), 'cgroup.subtree_control', controllers.join(' '));
    await set(hostFolder, 'cgroup.subtree_control', controllers.join(' '));
  }
}

/**
 * What makes the cgroups of one container with their limits, where babelhost makes them: arguments of a request to the
 * guard's starter (native/request.c), which joins them too. A setting with `--try` is passed over where the kernel is
 * built without it (swap accounting).
 */
export function makingArguments(placement: CgroupPlacement, id: string, limits: Limits): string[] {
  if (placement.maker !== 'joined') return [];
  const { memory, cpu, pids } = containerCgroups(placement, id);
  const quota = Math.max(1000, Math.round(limits.cpus * cpuPeriodUs));
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
    settings.push([cpu.folder, '--set', 'cpu.cfs_quota_us', quota]);
  } else {
    settings.push([cpu?.folder, '--set', 'cpu.max', `${quota} ${cpuPeriodUs}`]);
  }
  settings.push([pids?.folder, '--set', 'pids.max', limits.processes]);
  return containerFolders(placement, id).flatMap((folder) => [
    ...['--cgroup', folder, '--make'],
    ...settings.filter(([of]) => of === folder).flatMap(([, option, file, value]) => [option, file, String(value)]),
  ]);
}

/** What joins the cgroups of a container that runs, as `makingArguments`. */
export function joiningArguments(placement: CgroupPlacement, id: string): string[] {
  if (placement.maker !== 'joined') return [];
  return containerFolders(placement, id).flatMap((folder) => ['--cgroup', folder]);
}
