// The settings in which containers are tested: as root, and as an ordinary user with and without a range of ids, each
// with runc and crun; where the machine has cgroup v2 alone, as an ordinary user to whom a cgroup is delegated, too
// (scripts/machines.ts boots such a machine). The user and its range exist only in a mount namespace of the test's: files
// bound over /etc/passwd, /etc/subuid and /etc/subgid.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, copyFile, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type {
  ContainerExit,
  ContainerOptions,
  ContainerRuntimeOptions,
  ContainerUsage,
  IsolationReport,
} from '../../src/container/index.ts';
import { readCgroupLayout, removeCgroup } from '../../src/container/cgroup/cgroup.ts';
import type { FileOwners } from '../../src/base/file-owners.ts';
import type { ErrorKind } from '../../src/base/errors.ts';
import { grantedId, ordinaryId } from '../support/ordinary-user.ts';

export interface Setting {
  readonly name: string;
  readonly user: 'root' | 'delegated' | 'granted' | 'own';
  readonly runtime: 'runc' | 'crun';
}

const users = {
  root: 'as root',
  delegated: 'as an ordinary user with a delegated cgroup',
  granted: 'as an ordinary user with an id range',
  own: 'as an ordinary user',
} as const;

/** How this machine has its cgroups: an ordinary user can be given some of v2 alone. */
export const { kind: cgroupKind } = readCgroupLayout();

export const settings: readonly Setting[] = (['runc', 'crun'] as const).flatMap((runtime) =>
  (['root', 'delegated', 'granted', 'own'] as const)
    .filter((user) => user !== 'delegated' || cgroupKind === 'v2')
    .map((user) => ({ name: `${runtime} ${users[user]}`, user, runtime })),
);

/** Whether cgroups limit a container in a setting; rlimits do what they can in the others. */
export const hasCgroups = ({ user }: Setting): boolean => user === 'root' || user === 'delegated';

/** One setting of each user, for what does not depend on the runtime. */
export const runcSettings = settings.filter(({ runtime }) => runtime === 'runc');

/** Becomes the ordinary user, with the range that $1 names (or none), in the cgroup $2 (or its own), and executes the rest. */
const becomeOrdinary = `
set -e
mount --make-rslave /
mount -t tmpfs tmpfs /mnt
cp /etc/passwd /mnt/passwd
echo 'ordinary:x:${ordinaryId}:${ordinaryId}::/nonexistent:/bin/sh' >> /mnt/passwd
touch /mnt/ranges
if [ "$1" != own ]; then echo 'ordinary:${grantedId}:65536' > /mnt/ranges; fi
chmod 644 /mnt/passwd /mnt/ranges
mount --bind /mnt/passwd /etc/passwd
mount --bind /mnt/ranges /etc/subuid
mount --bind /mnt/ranges /etc/subgid
umount -l /mnt
if [ -n "$2" ]; then echo 0 > "$2/cgroup.procs"; fi
shift 2
exec setpriv --reuid ${ordinaryId} --regid ${ordinaryId} --clear-groups --inh-caps=-all "$@"
`;

/**
 * The command line that executes `command` in a setting.
 * @param cgroup the cgroup to execute it in, of a `DelegatedCgroup`
 */
export function inSetting(
  setting: Pick<Setting, 'user'>,
  command: readonly string[],
  cgroup = '',
): [string, ...string[]] {
  if (setting.user === 'root') return command as [string, ...string[]];
  return ['unshare', '--mount', 'sh', '-c', becomeOrdinary, 'sh', setting.user, cgroup, ...command];
}

/** A cgroup that belongs to the ordinary user, as systemd's user sessions have one, with a cgroup below it for each host. */
export class DelegatedCgroup implements AsyncDisposable {
  readonly folder: string;
  #hosts = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(name: string): Promise<DelegatedCgroup> {
    const root = '/sys/fs/cgroup';
    await writeFile(path.join(root, 'cgroup.subtree_control'), '+cpu +memory +pids', { flag: 'r+' });
    const cgroup = new DelegatedCgroup(path.join(root, name));
    await mkdir(cgroup.folder);
    for (const file of ['', 'cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads']) {
      await chown(path.join(cgroup.folder, file), ordinaryId, ordinaryId);
    }
    return cgroup;
  }

  /** A cgroup for a host to be started in. */
  async host(): Promise<string> {
    const folder = path.join(this.folder, `host-${++this.#hosts}`);
    await mkdir(folder);
    return folder;
  }

  /** The cgroups in it other than hosts' own. */
  async leftovers(): Promise<string[]> {
    const entries = await readdir(this.folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('host-')).map(({ name }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await removeCgroup(this.folder);
  }
}

/** A folder for a test: a root file system with busybox, and a place for the hosts' folders. */
export class Workplace implements AsyncDisposable {
  readonly folder: string;
  readonly setting: Setting;
  readonly cgroup: DelegatedCgroup | undefined;
  readonly #hosts: TestHost[] = [];

  private constructor(folder: string, setting: Setting, cgroup: DelegatedCgroup | undefined) {
    this.folder = folder;
    this.setting = setting;
    this.cgroup = cgroup;
  }

  static async make(setting: Setting): Promise<Workplace> {
    const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-container-'));
    const cgroup = setting.user === 'delegated' ? await DelegatedCgroup.make(path.basename(folder)) : undefined;
    const place = new Workplace(folder, setting, cgroup);
    await mkdir(place.directory);
    await mkdir(path.join(place.rootfs, 'bin'), { recursive: true });
    await copyFile('/bin/busybox', path.join(place.rootfs, 'bin/busybox'));
    for (const applet of [
      'sh',
      'cat',
      'echo',
      'id',
      'ls',
      'sleep',
      'yes',
      'dd',
      'hostname',
      'ps',
      'kill',
      'true',
      'env',
      'pwd',
    ]) {
      await symlink('busybox', path.join(place.rootfs, 'bin', applet));
    }
    // The user who unpacked an image owns its files.
    if (setting.user !== 'root') {
      for (const file of ['', 'rootfs', 'hosts']) await chown(path.join(folder, file), ordinaryId, ordinaryId);
    }
    return place;
  }

  get rootfs(): string {
    return path.join(this.folder, 'rootfs');
  }

  get directory(): string {
    return path.join(this.folder, 'hosts');
  }

  /** Starts a host; with `wrap`, through that command line. */
  async host(options: Partial<ContainerRuntimeOptions> = {}, wrap: readonly string[] = []): Promise<TestHost> {
    const host = new TestHost(this, wrap, await this.cgroup?.host());
    this.#hosts.push(host);
    await host.call('open', { directory: this.directory, runtime: this.setting.runtime, ...options });
    return host;
  }

  /** Ends the hosts and expects that nothing of them is left on the machine. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.#hosts) await host.end();
    expect(await leftovers(this.directory, this.#hosts)).toEqual([]);
    if (this.cgroup !== undefined) {
      expect(await this.cgroup.leftovers()).toEqual([]);
      await this.cgroup[Symbol.asyncDispose]();
    }
    await rm(this.folder, { recursive: true });
  }
}

/** Folders, cgroups, processes and mounts that hosts have left on the machine after their end. */
export async function leftovers(directory: string, hosts: readonly TestHost[]): Promise<string[]> {
  const found = (await readdir(directory)).map((name) => `folder ${name}`);
  const names = new Set(hosts.flatMap(({ hostNames }) => [...hostNames]));
  const look = async (folder: string, depth: number): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
      if (!entry.isDirectory()) continue;
      const cgroup = path.join(folder, entry.name);
      if (names.has(entry.name.replace('babelhost-', ''))) found.push(`cgroup ${cgroup}`);
      else if (depth > 0) await look(cgroup, depth - 1);
    }
  };
  // v1: below each hierarchy's root. v2: below the root itself, or a cgroup of the ordinary user's.
  await look('/sys/fs/cgroup', 1);
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (commandLine.includes(directory)) found.push(`process ${pid} ${commandLine.replaceAll('\0', ' ')}`);
  }
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  for (const mount of mounts.split('\n')) if (mount.includes(directory)) found.push(`mount ${mount}`);
  return found;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { kind: ErrorKind; message: string; data: Record<string, unknown> };
}

/** An error as the host had it: what a test looks at is its kind, its sentence and its data. */
export class HostError extends Error {
  readonly kind: ErrorKind;
  readonly data: Record<string, unknown>;

  constructor(error: NonNullable<Answer['error']>) {
    super(error.message);
    this.kind = error.kind;
    this.data = error.data;
  }
}

/** A further process in a container, when it has ended. */
export interface Executed {
  readonly pid: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: ContainerExit;
}

export type BootOptions = Partial<Omit<ContainerOptions, 'process'>> & {
  args: string[];
  env?: Record<string, string>;
  cwd?: string;
  user?: string;
};

/** A host in a process of its own, in a setting: fixtures/host.ts does what is asked of it here. */
export class TestHost {
  readonly child: ChildProcess;
  /** The names of the folders and cgroups that it has had. */
  readonly hostNames = new Set<string>();
  readonly #place: Workplace;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;

  constructor(place: Workplace, wrap: readonly string[], cgroup?: string) {
    this.#place = place;
    const program = fileURLToPath(new URL('./fixtures/host.ts', import.meta.url));
    const [command, ...args] = inSetting(place.setting, [...wrap, process.execPath, program], cgroup);
    this.child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.child.on('message', (message) => {
      const answer = message as Answer;
      const pending = this.#pending.get(answer.id);
      this.#pending.delete(answer.id);
      if (answer.error === undefined) pending?.resolve(answer.result);
      else pending?.reject(new HostError(answer.error));
    });
    this.child.on('exit', () => {
      for (const { reject } of this.#pending.values()) reject(new Error('the test host has ended'));
      this.#pending.clear();
    });
  }

  async call(method: string, params: unknown = {}): Promise<unknown> {
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, answer);
    this.child.send({ id, method, params });
    return answer.promise;
  }

  owners(): Promise<FileOwners> {
    return this.call('owners') as Promise<FileOwners>;
  }

  isolation(): Promise<IsolationReport> {
    return this.call('isolation') as Promise<IsolationReport>;
  }

  async prepare(): Promise<{ guard: number }> {
    const result = (await this.call('prepare')) as { guard: number };
    await this.#noteName();
    return result;
  }

  /** Boots a container and waits for its end; what it wrote, as text. */
  async run(options: BootOptions, stdin = ''): Promise<{ exit: ContainerExit; stdout: string; stderr: string }> {
    const container = await this.boot(options);
    // Read while it is written to: with both pipes full, neither side would go on.
    const output = container.output();
    await container.write(stdin, true);
    return { ...(await output), exit: await container.exited() };
  }

  async boot({ args, env = {}, cwd = '/', user = '', ...options }: BootOptions, abortAfterMs?: number) {
    const process = { args, env: { PATH: '/bin', ...env }, cwd, user };
    const { key, id, pid } = (await this.call('boot', {
      options: { rootfs: this.#place.rootfs, process, ...options },
      abortAfterMs,
    })) as { key: number; id: string; pid: number };
    await this.#noteName();
    const call = (method: string, params: object = {}) => this.call(method, { key, ...params });
    return {
      id,
      pid,
      write: (text: string, end = false) => call('write', { text, end }),
      /** What it writes until both its pipes have ended. */
      output: () => call('output') as Promise<{ stdout: string; stderr: string }>,
      /** The next line that it writes to stdout. */
      line: () => call('line') as Promise<string>,
      exited: () => call('exited') as Promise<ContainerExit>,
      processes: () => call('processes') as Promise<number[]>,
      usage: () => call('usage') as Promise<ContainerUsage>,
      signal: (number: number) => call('signal', { number }),
      kill: () => call('kill') as Promise<ContainerExit>,
      /** Executes a further command, or native/init itself, to its end, or to that which it is given. */
      execute: (further: readonly string[], killAfterMs?: number) =>
        call('execute', { process: { ...process, args: further }, killAfterMs }) as Promise<Executed>,
      executeInit: (further: readonly string[], killAfterMs?: number) =>
        call('executeInit', { args: further, killAfterMs }) as Promise<Executed>,
    };
  }

  /** Asks for containers and disposes of the host in the same turn: how each boot ended. */
  async disposeWhileBooting(number: number): Promise<string[]> {
    const options = {
      rootfs: this.#place.rootfs,
      process: { args: ['sleep', '1000'], env: { PATH: '/bin' }, cwd: '/', user: '' },
    };
    return (await this.call('disposeWhileBooting', { options, number })) as string[];
  }

  /** Ends the host in its own way. */
  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    await this.call('dispose').catch(() => undefined);
    if (this.child.connected) this.child.disconnect();
    await once(this.child, 'exit');
  }

  async #noteName(): Promise<void> {
    for (const name of await readdir(this.#place.directory)) this.hostNames.add(name);
  }
}

/** Waits until `condition` holds; fails after `timeoutMs`. For what the kernel offers no event. */
export async function eventually(condition: () => Promise<unknown>, timeoutMs = 2000): Promise<number> {
  const start = performance.now();
  for (;;) {
    if (await condition()) return performance.now() - start;
    if (performance.now() - start > timeoutMs) throw new Error(`not so within ${timeoutMs} ms`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
