// What this machine can do for containers, and the command that mends what it cannot: the substance of `doctor`.
// Everything is tried, not guessed: kernels refuse user namespaces for many reasons that no setting shows.
import { chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isBabelhostError, messageOf } from '../../base/errors.ts';
import { requireBootstrap, requireInit } from '../../base/native.ts';
import { readCgroupLayout, type CgroupLayout } from '../cgroup/cgroup.ts';
import { checkRequired, type IsolationReport } from './isolation.ts';
import { defaultBase, findIdMapping, userName, type IdMapping } from '../oci/id-mapping.ts';
import { ContainerRuntime } from '../runtime.ts';
import { findAdvisories } from './runtime-advisories.ts';
import { findProgram } from '../oci/runtime-program.ts';
import { readRuntimeVersion } from '../oci/runtime-version.ts';
import { initPath } from '../oci/spec.ts';

export interface Finding {
  readonly name: string;
  /** 'weaker': containers run, with less than could be had. 'missing': something does not work. */
  readonly state: 'ok' | 'weaker' | 'missing';
  /** What was found, for a person. */
  readonly found: string;
  /** A shell command that mends it, where one does. */
  readonly mend?: string;
  /** Of a runtime: those that it has no fix of, as far as that can be told. */
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
    // Apart from the root file system: whatever lies beside hosts' folders is swept by the guard, which may be late.
    await using host = await ContainerRuntime.open({ directory: path.join(directory, 'hosts'), runtime });
    const isolation = await host.isolation();
    const findings = await Promise.all([
      Promise.resolve(examineBootstrap()),
      examineRuntime('runc', runtime === 'runc'),
      examineRuntime('crun', runtime === 'crun'),
      ...(runtime === 'runc' || runtime === 'crun' ? [] : [examineRuntime(runtime, true)]),
      examineNamespaces(host, idMapping),
      examineContainer(host, directory),
      Promise.resolve(examineIds(idMapping)),
      Promise.resolve(examineCgroups(layout, isolation)),
      examineOverlay(),
      examineDumps(),
      ...(required.length === 0 ? [] : [Promise.resolve(examineRequired(isolation, required))]),
    ]);
    return { findings, isolation };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function examineBootstrap(): Finding {
  try {
    requireInit();
    return { name: 'bootstrap', state: 'ok', found: requireBootstrap() };
  } catch (error) {
    return { name: 'bootstrap', state: 'missing', found: messageOf(error), mend: 'make -C native' };
  }
}

async function examineRuntime(name: string, isUsed: boolean): Promise<Finding> {
  // A runtime that is named by its path came from somewhere else.
  const mending = name.includes('/') ? {} : { mend: `sudo apt-get install ${name}` };
  // The other runtime is a matter of choice.
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
      found: `${found}: neither its version nor its package tells of a fix of ${advisories.join(', ')} (docs/security.md has what they come to here); a newer release has them${name === 'runc' ? ', or use --runtime crun' : ''}`,
      ...(!name.includes('/') && { mend: `sudo apt-get install --only-upgrade ${name}` }),
      advisories,
    };
  } catch (error) {
    return { name, state: absent, found: `${program} does not run: ${messageOf(error)}`, ...mending };
  }
}

async function examineNamespaces(host: ContainerRuntime, idMapping: IdMapping): Promise<Finding> {
  const name = 'namespaces';
  const what = idMapping.kind === 'privileged' ? 'mount and pid namespaces' : 'user, mount and pid namespaces';
  try {
    await host.prepare();
    return { name, state: 'ok', found: `${what} can be made` };
  } catch (error) {
    // A missing runtime has a line of its own, and the namespaces were not tried.
    if (isBabelhostError(error, 'runtimeMissing')) return { name, state: 'weaker', found: 'not tried' };
    const mend = isBabelhostError(error) ? error.data['mend'] : undefined;
    return { name, state: 'missing', found: messageOf(error), ...(typeof mend === 'string' && { mend }) };
  }
}

/** Starts a container with nothing in it but its process 1, which then complains that it was told to do nothing, and ends. */
async function examineContainer(host: ContainerRuntime, directory: string): Promise<Finding> {
  const name = 'container';
  const rootfs = path.join(directory, 'rootfs');
  try {
    await host.prepare();
  } catch {
    // The line before says why.
    return { name, state: 'weaker', found: 'not tried' };
  }
  try {
    await mkdir(rootfs);
    await chmod(rootfs, 0o755);
    const container = await host.boot({ rootfs, process: { args: [initPath], env: {}, cwd: '/', user: '' } });
    await container.exited;
  } catch (error) {
    const mend = isBabelhostError(error) ? error.data['mend'] : undefined;
    return { name, state: 'missing', found: messageOf(error), ...(typeof mend === 'string' && { mend }) };
  }
  if (!host.keepsHostName) return { name, state: 'ok', found: 'starts' };
  const kept = 'starts, with the host name that is around babelhost: a seccomp filter forbids to set another';
  return { name, state: 'weaker', found: kept };
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
        return {
          name,
          state: 'missing',
          found: 'newuidmap is not on this machine',
          mend: 'sudo apt-get install uidmap',
        };
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
    return { name, state: 'missing', found: messageOf(error) };
  }
}

async function examineOverlay(): Promise<Finding> {
  const name = 'overlay';
  const known = await readFile('/proc/filesystems', 'utf8').catch(() => '');
  if (/\toverlay$/m.test(known)) return { name, state: 'ok', found: 'the kernel has it' };
  return {
    name,
    state: 'weaker',
    found: 'not loaded: writable layers need it, and that drivers of one image see no locks of each other',
    mend: 'sudo modprobe overlay',
  };
}

/** A process that executes what it may not read has closed memory (native/stage.c), unless the kernel is told otherwise. */
async function examineDumps(): Promise<Finding> {
  const name = 'dumps';
  const setting = await readFile('/proc/sys/fs/suid_dumpable', 'utf8').catch(() => '');
  if (setting.trim() !== '1')
    return { name, state: 'ok', found: 'processes of babelhost in containers are closed to others' };
  return {
    name,
    state: 'weaker',
    found: 'fs.suid_dumpable is 1: processes of a container can get into those that babelhost starts beside them',
    mend: 'sudo sysctl -w fs.suid_dumpable=2',
  };
}
