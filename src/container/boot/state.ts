// The state of a container that runs: what the OCI runtime tells of it, with process ids as the host has them, and where its
// cgroups and namespaces are. Asks the runtime in the guard's namespaces, and reads /proc.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import { readCgroupLayout } from '../cgroup/cgroup.ts';
import { containerFolders, type CgroupPlacement } from '../cgroup/placement.ts';
import { askForState } from '../guard/exec-in-guard.ts';
import type { ContainerId } from '../id.ts';
import { filterAnnotation } from '../oci/seccomp-filter.ts';
import type { BootContext } from './boot-context.ts';
import type { ContainerFiles } from './container-files.ts';

/** The files of /proc/PID/ns of the namespaces that a container has of its own, by the specification's names for them. */
const namespaceFiles = {
  cgroup: 'cgroup',
  ipc: 'ipc',
  mount: 'mnt',
  network: 'net',
  pid: 'pid',
  user: 'user',
  uts: 'uts',
} as const;

export type NamespaceType = keyof typeof namespaceFiles;

/** OCI runtime specification, "State", as the runtime tells it, and the paths that libcontainer's state had beside that. */
export interface RuntimeState {
  /** The version of the specification. */
  readonly ociVersion: string;
  readonly status: 'running' | 'paused';
  /** Of process 1, as the host has it. */
  readonly pid: number;
  /** In the mount namespace in which the runtime runs: nobody else sees it. */
  readonly bundle: string;
  /** When the runtime made it: RFC 3339. */
  readonly created: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** The folders of its cgroups, by controller; in version 1 also by `name=NAME`, and version 2's one folder by ''. */
  readonly cgroupPaths: Readonly<Record<string, string>>;
  /** The files of its namespaces, which setns(2) takes. */
  readonly namespacePaths: Readonly<Record<NamespaceType, string>>;
}

const toldState = z.object({
  ociVersion: z.string(),
  status: z.enum(['running', 'paused', 'stopped']),
  bundle: z.string(),
  created: z.string(),
  annotations: z.record(z.string(), z.string()).default({}),
});

/**
 * Asks for the state of a container whose process 1 is `pid`; undefined if it has ended.
 * @throws BabelhostError `containerFailed` if the runtime fails, or says what is no state
 */
export async function readState(
  context: BootContext,
  files: ContainerFiles,
  id: ContainerId,
  pid: number,
): Promise<RuntimeState | undefined> {
  const { status, output, complaint } = await askForState(context, files, id);
  const told = toldState.safeParse(status === 0 ? parseJson(output) : undefined);
  if (!told.success) {
    const said = complaint.trim() || (status === 0 ? `it says '${output.slice(0, 200)}'` : 'it gives no reason');
    const message = `The OCI runtime ${context.runtime.path} does not tell the state of the container ${id}: ${said}.`;
    throw new BabelhostError('containerFailed', message, { id, status, complaint });
  }
  const { status: runs, annotations } = told.data;
  const cgroups = runs === 'stopped' ? undefined : await cgroupPaths(context.placement, id, pid);
  if (runs === 'stopped' || cgroups === undefined) return undefined;
  return {
    ...told.data,
    status: runs,
    pid,
    // Without what babelhost itself tells crun.
    annotations: Object.fromEntries(Object.entries(annotations).filter(([name]) => name !== filterAnnotation)),
    cgroupPaths: cgroups,
    namespacePaths: pathsOfNamespaces(pid),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function pathsOfNamespaces(pid: number): Record<NamespaceType, string> {
  const file = (type: NamespaceType) => `/proc/${pid}/ns/${namespaceFiles[type]}`;
  return {
    cgroup: file('cgroup'),
    ipc: file('ipc'),
    mount: file('mount'),
    network: file('network'),
    pid: file('pid'),
    user: file('user'),
    uts: file('uts'),
  };
}

/** The container's own cgroups among those that its process 1 is in (cgroups(7)); undefined if that has ended. */
async function cgroupPaths(
  placement: CgroupPlacement,
  id: ContainerId,
  pid: number,
): Promise<Record<string, string> | undefined> {
  let listed: string;
  try {
    listed = await readFile(`/proc/${pid}/cgroup`, 'utf8');
  } catch (error) {
    // ESRCH: it ended between open and read.
    if (['ENOENT', 'ESRCH'].includes(systemErrorCode(error) ?? '')) return undefined;
    throw error;
  }
  const { hierarchies } = readCgroupLayout();
  const folders = containerFolders(placement, id);
  const paths: Record<string, string> = {};
  for (const line of listed.trim().split('\n')) {
    const [, list = '', ...rest] = line.split(':');
    if (!rest.join(':').endsWith(`/${placement.name}/${id}`)) continue;
    const controllers = list.split(',');
    const hierarchy = hierarchies.find(({ version, controllers: mounted }) =>
      list === '' ? version === 2 : version === 1 && mounted.includes(controllers[0] ?? ''),
    );
    const folder = folders.find((each) => hierarchy !== undefined && each.startsWith(`${hierarchy.mountPoint}/`));
    if (folder !== undefined) for (const controller of controllers) paths[controller] = folder;
  }
  return paths;
}
