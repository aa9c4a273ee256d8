// What this machine can do for containers, and the command that mends what it cannot, for `doctor`. Everything is tried:
// kernels refuse user namespaces for many reasons that no setting shows.
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isBabelhostError, messageOf } from '../../base/errors.ts';
import { originOfBootstrap, requireBootstrap, requireInit, readJsonBlocks } from '../../base/native.ts';
import { packageFile } from '../../base/package.ts';
import { readCgroupLayout, type CgroupLayout } from '../cgroup/cgroup.ts';
import { checkRequired, type IsolationReport } from './isolation.ts';
import { defaultBase, findIdMapping, userName, type IdMapping } from '../oci/id-mapping.ts';
import { ContainerRuntime } from '../runtime.ts';
import { readOrEmpty } from '../sync-fs.ts';
import { findAdvisories } from './runtime-advisories.ts';
import { findProgram, readRuntimeVersion } from '../oci/runtime-program.ts';
import { initPath } from '../oci/spec.ts';

export interface Finding {
  readonly name: string;
  /** 'weaker': containers run, with less than could be had. 'missing': something does not work. */
  readonly state: 'ok' | 'weaker' | 'missing';
  /** What was found, for a person. */
  readonly found: string;
  /** A shell command that mends it, where one does. */
  readonly mend?: string;
  /** Of a runtime: those that it is not known to have a fix of. */
  readonly advisories?: readonly string[];
}

export interface MachineReport {
  readonly findings: readonly Finding[];
  /** What would be in force for containers of this user with the given runtime. */
  readonly isolation: IsolationReport;
}

/**
 * Looks at the machine as the user that this process is. Makes a guard, as a host would, and removes it.
 * @param runtime the runtime that hosts are to use
 * @param required protections that must be fully in force
 */
export async function examineMachine(runtime = 'runc', required: readonly string[] = []): Promise<MachineReport> {
  const idMapping = findIdMapping(defaultBase);
  const layout = readCgroupLayout();
  const directory = await mkdtemp(path.join(tmpdir(), 'babelhost-doctor-'));
  try {
    // Apart from the root file system: the guard removes what lies beside hosts' folders, at any time.
    await using host = await ContainerRuntime.open({ directory: path.join(directory, 'hosts'), runtime });
    const isolation = await host.isolation();
    const findings = [
      examineBootstrap(),
      await examineRuntime('runc', runtime === 'runc'),
      await examineRuntime('crun', runtime === 'crun'),
      ...(runtime === 'runc' || runtime === 'crun' ? [] : [await examineRuntime(runtime, true)]),
      ...(await examineContainers(host, idMapping, path.join(directory, 'rootfs'))),
      examineIds(idMapping),
      examineCgroups(layout, isolation),
      examineOverlay(),
      examineDumps(),
      ...(required.length === 0 ? [] : [examineRequired(isolation, required)]),
    ];
    return { findings, isolation };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** What failed with `error`, with the command that mends it, where the error has one. */
function missing(name: string, error: unknown): Finding {
  const mend = isBabelhostError(error) ? error.data['mend'] : undefined;
  return { name, state: 'missing', found: messageOf(error), ...(typeof mend === 'string' && { mend }) };
}

function examineBootstrap(): Finding {
  try {
    requireInit();
    readJsonBlocks();
    return { name: 'bootstrap', state: 'ok', found: `${requireBootstrap()}${originOfBootstrap()}` };
  } catch (error) {
    return missing('bootstrap', error);
  }
}

async function examineRuntime(name: string, isUsed: boolean): Promise<Finding> {
  // A runtime that is named by its path came from somewhere else.
  const mending = name.includes('/') ? {} : { mend: `sudo apt-get install ${name}` };
  // A runtime that is not used may be missing.
  const absent = isUsed ? 'missing' : 'ok';
  const program = findProgram(name);
  if (program === undefined) return { name, state: absent, found: 'not on this machine', ...(isUsed && mending) };
  try {
    const { version, needed } = await readRuntimeVersion(program);
    if (version === undefined)
      return { name, state: absent, found: `${program} does not tell its version`, ...mending };
    const found = `${version} at ${program}`;
    if (needed !== undefined) return { name, state: absent, found: `${found}: ${needed} is needed`, ...mending };
    const advisories = await findAdvisories(program, version);
    if (advisories.length === 0) return { name, state: 'ok', found };
    return {
      name,
      state: isUsed ? 'weaker' : 'ok',
      found: `${found}: neither its version nor its package tells of a fix of ${advisories.join(', ')} (${packageFile('docs/security.md')} has what they come to here); a newer release has them${name === 'runc' ? ', or use --runtime crun' : ''}`,
      ...(!name.includes('/') && { mend: `sudo apt-get install --only-upgrade ${name}` }),
      advisories,
    };
  } catch (error) {
    return { name, state: absent, found: `${program} does not run: ${messageOf(error)}`, ...mending };
  }
}

/** Makes the namespaces, and starts a container with nothing but its process 1, which is given no command and ends. */
async function examineContainers(host: ContainerRuntime, idMapping: IdMapping, rootfs: string): Promise<Finding[]> {
  const what = idMapping.kind === 'privileged' ? 'mount and pid namespaces' : 'user, mount and pid namespaces';
  const untried = (name: string): Finding => ({ name, state: 'weaker', found: 'not tried' });
  try {
    await host.prepare();
  } catch (error) {
    // A missing runtime has a line of its own, and the namespaces were not tried.
    const noRuntime = isBabelhostError(error, 'runtimeMissing');
    return [noRuntime ? untried('namespaces') : missing('namespaces', error), untried('container')];
  }
  const namespaces: Finding = { name: 'namespaces', state: 'ok', found: `${what} can be made` };
  const name = 'container';
  try {
    await mkdir(rootfs);
    await chmod(rootfs, 0o755);
    const container = await host.boot({ rootfs, process: { args: [initPath], env: {}, cwd: '/', user: '' } });
    await container.exited;
  } catch (error) {
    return [namespaces, missing(name, error)];
  }
  if (!host.keepsHostName) return [namespaces, { name, state: 'ok', found: 'starts' }];
  const kept = 'starts, with the host name that is around babelhost: a seccomp filter forbids to set another';
  return [namespaces, { name, state: 'weaker', found: kept }];
}

function examineIds(idMapping: IdMapping): Finding {
  const name = 'ids';
  switch (idMapping.kind) {
    case 'privileged':
      return { name, state: 'ok', found: `${idMapping.ids.count} from ${idMapping.ids.first} on, as root` };
    case 'granted': {
      // Root writes the maps itself.
      const mappers = process.geteuid?.() === 0 ? [] : ['newuidmap', 'newgidmap'];
      if (mappers.map(findProgram).includes(undefined)) {
        const found = 'newuidmap is not on this machine';
        return { name, state: 'missing', found, mend: 'sudo apt-get install uidmap' };
      }
      const origin = idMapping.by === 'root' ? 'mapped by root' : 'of /etc/subuid';
      return { name, state: 'ok', found: `${idMapping.uids.count} from ${idMapping.uids.first} on, ${origin}` };
    }
    case 'own':
      return {
        name,
        state: 'weaker',
        found: `only the user's own id: ${idMapping.reason}`,
        mend: `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${userName()}`,
      };
  }
}

function examineCgroups(layout: CgroupLayout, isolation: IsolationReport): Finding {
  const name = 'cgroups';
  const limits = isolation.items.filter((item) => ['memory', 'cpu', 'processes'].includes(item.name));
  const enforced = limits.map(({ name: limit, enforced: how, by }) => `${limit}: ${how}${by === '' ? '' : ` (${by})`}`);
  const view = layout.kind === 'hybrid' ? ' (crun refuses that: it is shown v2 alone, in v1 cgroups made for it)' : '';
  const found = `${layout.kind}${view}; ${enforced.join(', ')}`;
  if (limits.every((item) => item.enforced === 'yes')) return { name, state: 'ok', found };
  const delegate = layout.kind === 'v2' && isolation.identity !== 'privileged';
  return {
    name,
    state: 'weaker',
    found: `${found}: ${limits.find((item) => item.enforced !== 'yes')?.reason ?? ''}`,
    ...(delegate && { mend: 'systemd-run --user --scope -p Delegate=yes babelhost serve' }),
  };
}

function examineRequired(isolation: IsolationReport, required: readonly string[]): Finding {
  const name = 'required';
  try {
    checkRequired(isolation, required);
    return { name, state: 'ok', found: `${required.join(', ')}: in force` };
  } catch (error) {
    return missing(name, error);
  }
}

function examineOverlay(): Finding {
  const name = 'overlay';
  if (/\toverlay$/m.test(readOrEmpty('/proc/filesystems'))) return { name, state: 'ok', found: 'the kernel has it' };
  return {
    name,
    state: 'weaker',
    found: 'not loaded: writable layers need it, and that drivers of one image see no locks of each other',
    mend: 'sudo modprobe overlay',
  };
}

/** Others cannot read the memory of a process that executes what it may not read (native/stage.c), unless this is set. */
function examineDumps(): Finding {
  const name = 'dumps';
  if (readOrEmpty('/proc/sys/fs/suid_dumpable').trim() !== '1') {
    return { name, state: 'ok', found: 'processes of babelhost in containers are closed to others' };
  }
  return {
    name,
    state: 'weaker',
    found: 'fs.suid_dumpable is 1: processes of a container can get into those that babelhost starts beside them',
    mend: 'sudo sysctl -w fs.suid_dumpable=2',
  };
}
