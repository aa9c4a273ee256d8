// Booting containers to their first byte of output, one by one and fifty at once, against the same bundle by the OCI
// runtime's own command line; and what an idle container costs beside what runs in it.
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, rmdir, statfs, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { limitingControllers } from '../src/container/cgroup/placement.ts';
import { readCgroupLayout, type CgroupLayout } from '../src/container/cgroup/cgroup.ts';
import { ContainerRuntime, type Container } from '../src/container/index.ts';
import { findProgram } from '../src/container/oci/runtime-program.ts';
import { plainBundle } from './plain-bundle.ts';
import type { PlainRun } from './plain-runtime.ts';
import type { Figure } from './report.ts';
import { summarise, takeTurns, type Sample } from './statistics.ts';

const rounds = 25;
const crowd = 50;
const crowdRounds = 9;

/** What is booted: a program that writes a byte and stays until its stdin ends, as a driver does. */
const greet = { args: ['/bin/sh', '-c', 'echo; exec cat'], env: { PATH: '/bin' }, cwd: '/', user: '' };

export async function measureContainers(): Promise<Figure[]> {
  if (process.geteuid?.() !== 0) {
    process.stderr.write('left out: only root can run the same bundle with a plain runtime\n');
    return [];
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-bench-containers-'));
  try {
    // The container's root is nobody on this machine, and has to reach its files.
    await chmod(folder, 0o755);
    await makeRootfs(path.join(folder, 'rootfs'));
    const layout = readCgroupLayout();
    const figures: Figure[] = [];
    for (const runtime of ['runc', 'crun'] as const) {
      if (findProgram(runtime) !== undefined) figures.push(...(await measureRuntime(folder, runtime, layout)));
    }
    figures.push(await measureIdle(folder));
    return figures;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function makeRootfs(rootfs: string): Promise<void> {
  await mkdir(path.join(rootfs, 'bin'), { recursive: true });
  await copyFile('/bin/busybox', path.join(rootfs, 'bin/busybox'));
  for (const applet of ['sh', 'cat']) await symlink('busybox', path.join(rootfs, 'bin', applet));
}

async function measureRuntime(folder: string, name: 'runc' | 'crun', layout: CgroupLayout): Promise<Figure[]> {
  await using runtime = await ContainerRuntime.open({ directory: path.join(folder, 'hosts'), runtime: name });
  const boot = async (): Promise<Container> => {
    const container = await runtime.boot({ rootfs: path.join(folder, 'rootfs'), process: greet });
    await once(container.stdout, 'data');
    return container;
  };
  const bootMany = async (count: number): Promise<number> => {
    const startedAt = performance.now();
    const containers = await Promise.all(Array.from({ length: count }, boot));
    const elapsed = performance.now() - startedAt;
    await Promise.all(containers.map((container) => container.kill()));
    return elapsed;
  };
  await runtime.prepare();
  await using plain = await PlainRuntime.start(folder, name, layout);
  // Without limits on memory, cpu and processes, where the runtime itself could not set them.
  const bare = (count: number) => (plain.cgroups.length === 0 ? Promise.resolve(NaN) : plain.run(count, []));
  const measure = (turns: number, warmUp: number, count: number) =>
    takeTurns(turns, warmUp, {
      ours: () => bootMany(count),
      theirs: () => plain.run(count, plain.cgroups),
      bare: () => bare(count),
    });
  const figures = (what: string, { ours, theirs, bare: without }: Awaited<ReturnType<typeof measure>>): Figure[] => {
    const figure = (baseline: string, value: Sample): Figure => ({
      name: `${what}, with ${name}`,
      unit: 'ms',
      value: ours,
      baseline: { name: baseline, value },
      target: { ratio: 1.1, is: 'at most' },
    });
    if (plain.cgroups.length === 0) return [figure(`the same bundle by ${name} run`, theirs)];
    return [
      figure(`the same bundle by ${name} run, in cgroups of its own`, theirs),
      figure(`the same bundle by ${name} run, without limits`, without),
    ];
  };
  return [
    ...figures('boot to the first byte of output', await measure(rounds, 3, 1)),
    ...figures(`${crowd} boots at once`, await measure(crowdRounds, 1, crowd)),
  ];
}

/** Bundles by the runtime's own command line, with the configuration that babelhost gives it but for process 1. */
class PlainRuntime implements AsyncDisposable {
  /** Cgroups that runs are to be executed in, where the runtime cannot make them itself: as that process sees them. */
  readonly cgroups: readonly string[];
  readonly #process: ChildProcess;
  readonly #command: readonly string[];
  readonly #state: string;
  #runs = 0;

  private constructor(child: ChildProcess, command: readonly string[], state: string, cgroups: readonly string[]) {
    this.cgroups = cgroups;
    this.#process = child;
    this.#command = [...command.slice(0, 1), '--root', state, ...command.slice(1)];
    this.#state = state;
  }

  static async start(folder: string, name: 'runc' | 'crun', layout: CgroupLayout): Promise<PlainRuntime> {
    const bundle = path.join(folder, `bundle-${name}`);
    await mkdir(bundle);
    // Where crun is shown v2 alone, the controllers that limit are in v1, and it could not set them; what babelhost does
    // for it there, its baseline gets too: it is executed in v1 cgroups that have the limits.
    const showVersion2 = name === 'crun' && layout.kind === 'hybrid';
    const rootfs = path.join(folder, 'rootfs');
    const configuration = plainBundle({ process: greet, rootfs, withoutLimits: showVersion2 });
    await writeFile(path.join(bundle, 'config.json'), JSON.stringify(configuration));
    const program = path.join(import.meta.dirname, 'plain-runtime.ts');
    const version2 = layout.hierarchies.find(({ version }) => version === 2)?.mountPoint ?? '';
    const view = 'mount --rbind /sys/fs/cgroup "$1" && mount --bind "$0" /sys/fs/cgroup && shift && exec "$@"';
    const moved = path.join(folder, 'cgroups');
    const cgroups: string[] = [];
    if (showVersion2) {
      await mkdir(moved);
      for (const { mountPoint, controllers } of layout.hierarchies) {
        if (!limitingControllers.some((controller) => controllers.includes(controller))) continue;
        const cgroup = path.join(path.relative('/sys/fs/cgroup', mountPoint), `babelhost-bench-${process.pid}`);
        await mkdir(path.join('/sys/fs/cgroup', cgroup));
        cgroups.push(path.join(moved, cgroup));
      }
    }
    const child = showVersion2
      ? spawn('unshare', ['--mount', 'sh', '-c', view, version2, moved, process.execPath, program], {
          stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        })
      : fork(program);
    const manager = name === 'crun' ? ['--cgroup-manager', 'cgroupfs'] : [];
    // In memory, as /run is, where the runtimes keep their state unless they are told otherwise.
    const state = await mkdtemp('/dev/shm/babelhost-bench-state-');
    return new PlainRuntime(child, [name, ...manager, 'run', '--bundle', bundle], state, cgroups);
  }

  async run(count: number, cgroups: readonly string[]): Promise<number> {
    this.#runs += 1;
    const join = `${cgroups.map((cgroup) => `echo 0 > ${cgroup}/cgroup.procs`).join('; ')}; exec "$@"`;
    const shell = cgroups.length === 0 ? [] : ['sh', '-c', join, 'sh'];
    const command = [...shell, ...this.#command, `babelhost-bench-${process.pid}-${this.#runs}-%`];
    this.#process.send({ command, count } satisfies PlainRun);
    const [answer] = (await once(this.#process, 'message')) as [{ elapsed: number } | { error: string }];
    if ('error' in answer) throw new Error(answer.error);
    return answer.elapsed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.disconnect();
    await ended;
    await rm(this.#state, { recursive: true, force: true });
    for (const cgroup of this.cgroups) {
      await rmdir(path.join('/sys/fs/cgroup', cgroup.slice(cgroup.indexOf('/cgroups/') + '/cgroups/'.length)));
    }
  }
}

/** What babelhost holds for a container that waits: its own memory, files in memory, and the processes beside the guest's. */
async function measureIdle(folder: string): Promise<Figure> {
  await using runtime = await ContainerRuntime.open({ directory: path.join(folder, 'hosts') });
  const boot = async (): Promise<Container> => {
    const container = await runtime.boot({ rootfs: path.join(folder, 'rootfs'), process: greet });
    await once(container.stdout, 'data');
    return container;
  };
  // Bundles and the runtime's state lie in memory, on a file system that is mounted in the guard's namespace.
  const bundles = `/proc/${await runtime.prepare()}/root${await runtime.hostFolder()}`;
  const inFiles = async () => {
    const { blocks, bfree, bsize } = await statfs(bundles);
    return ((blocks - bfree) * bsize) / 1024 / 1024;
  };
  // The first few pay for what all of them share.
  const warm = await Promise.all(Array.from({ length: 10 }, boot));
  const before = (await ownMegabytes()) + (await inFiles());
  const containers = await Promise.all(Array.from({ length: crowd }, boot));
  const after = (await ownMegabytes()) + (await inFiles());
  const beside: number[] = [];
  for (const container of containers) {
    const [init] = await container.processes();
    if (init !== undefined) beside.push(await megabytes(init));
  }
  const each = (after - before + beside.reduce((sum, value) => sum + value, 0)) / crowd;
  await Promise.all([...warm, ...containers].map((container) => container.kill()));
  return {
    name: `memory held for an idle container, of ${crowd}`,
    unit: 'MB',
    value: summarise([each]),
    baseline: { name: 'a bound of 1 MB; the guest’s own is not counted', value: summarise([1]) },
    target: { ratio: 1, is: 'at most' },
  };
}

/** The share of the machine's memory that a process has: PSS, shared pages divided by those who share them. */
async function megabytes(pid: number | 'self'): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1]) / 1024;
}

async function ownMegabytes(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let times = 0; times < 3; times += 1) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return megabytes('self');
}
