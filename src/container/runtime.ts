// The container room's face: boots containers, tells what isolates them, and ends them all when it is disposed of.
import { access, constants, mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError } from '../errors.ts';
import { silentLogger, type Logger } from '../log.ts';
import { requireBootstrap } from '../native.ts';
import { bootContainer, type BootContext } from './boot.ts';
import { makeHostCgroups, placeCgroups, type CgroupPlacement } from './cgroup-placement.ts';
import { readCgroupLayout, type CgroupLayout } from './cgroup.ts';
import type { Container } from './container.ts';
import { explainSystemError } from './failures.ts';
import { Guard } from './guard.ts';
import { newContainerId, type ContainerId } from './id.ts';
import { checkRequired, parseHardLimits, reportIsolation, type IsolationReport } from './isolation.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { defaultBase, findIdentity, ownersOf, type Identity, type OwnerMap } from './owners.ts';
import { makeMountPoints } from './mount-points.ts';
import { Reapings } from './reapings.ts';
import { findRuntime, type RuntimeProgram } from './runtime-program.ts';
import type { ContainerProcess } from './spec.ts';

export interface ContainerRuntimeOptions {
  /**
   * The folder that the hosts of one root share; made if it is missing. Each host has a folder of its own in it, which
   * goes when the host does, and those of hosts that died together with their guard are removed at the first boot.
   */
  readonly directory: string;
  /** 'runc' (the default), 'crun', or the path of a runtime that takes runc's command line. */
  readonly runtime?: string;
  /** Protections (see `protections`) that must be fully in force: `boot` fails where one is not. */
  readonly require?: readonly string[];
  /** Limits of containers that do not set their own. */
  readonly limits?: Partial<Limits>;
  /** As root: the host's id for a container's id 0, followed by the others. */
  readonly idBase?: number;
  /** How long a container may take to start, in milliseconds; 30,000 by default. */
  readonly bootTimeoutMs?: number;
  /** How many containers may run at once; 1,000 by default. */
  readonly maxContainers?: number;
  readonly logger?: Logger;
}

export interface ContainerOptions {
  readonly id?: ContainerId;
  /** The root file system: a folder, shared read-only by all containers that name it. */
  readonly rootfs: string;
  /** `user` is as an image's configuration has it: '', 'uid', 'uid:gid', or names that the image knows. */
  readonly process: ContainerProcess & { readonly user: string };
  readonly limits?: Partial<Limits>;
  readonly hostname?: string;
}

/** A container's own out-of-memory score: before the host's other processes, when the whole machine runs out. */
const oomScoreAdj = 300;

/** Folders that every Linux has (FHS 3.0, section 3), that everybody can reach, and that few things lie in. */
const stages = ['/mnt', '/media', '/srv', '/opt', '/home', '/boot'];

/** How many root file systems are remembered as usable; there is one for each image. */
const mostCheckedRoots = 1000;

interface Prepared {
  readonly context: BootContext;
  readonly guard: Guard;
}

export class ContainerRuntime implements AsyncDisposable {
  /** How the files of an image are to be owned so that containers can use them. */
  readonly owners: OwnerMap;
  readonly #options: ContainerRuntimeOptions;
  readonly #identity: Identity;
  readonly #layout: CgroupLayout;
  readonly #logger: Logger;
  readonly #checkedRoots = new Set<string>();
  readonly #running = new Set<Container>();
  #booting = 0;
  #prepared: Promise<Prepared> | undefined;
  #closed = false;

  private constructor(options: ContainerRuntimeOptions, identity: Identity, layout: CgroupLayout) {
    this.#options = options;
    this.#identity = identity;
    this.#layout = layout;
    this.#logger = options.logger ?? silentLogger();
    this.owners = ownersOf(identity);
  }

  /** Looks at the machine; starts nothing yet. */
  static async open(options: ContainerRuntimeOptions): Promise<ContainerRuntime> {
    const [identity, layout] = await Promise.all([findIdentity(options.idBase ?? defaultBase), readCgroupLayout()]);
    return new ContainerRuntime({ ...options, directory: path.resolve(options.directory) }, identity, layout);
  }

  /** What is in force for the containers of this host. */
  async isolation(): Promise<IsolationReport> {
    const runtime = path.basename(this.#options.runtime ?? 'runc');
    return reportIsolation(runtime, this.#identity, await this.#place('babelhost'));
  }

  /**
   * The OCI runtime that boots the containers.
   * @throws BabelhostError `runtimeMissing`
   */
  async program(): Promise<RuntimeProgram> {
    return await findRuntime(this.#options.runtime ?? 'runc');
  }

  /**
   * Does now what the first boot would do: finds the runtime, starts the guard, sweeps what dead hosts have left.
   * @returns the process id of the guard's process 1, which all containers descend from
   * @throws BabelhostError `runtimeMissing`, `containerFailed`
   */
  async prepare(): Promise<number> {
    return (await this.#prepare()).guard.pid;
  }

  /**
   * Boots a container; resolves when its process has been executed.
   * @throws BabelhostError `runtimeMissing`; `containerFailed`, with the cause and what mends it; `overloaded`;
   * `timeout`; `shuttingDown`; the signal's reason if it is aborted
   */
  async boot(options: ContainerOptions, signal?: AbortSignal): Promise<Container> {
    const maxContainers = this.#options.maxContainers ?? 1000;
    if (this.#running.size + this.#booting >= maxContainers) {
      throw new BabelhostError(
        'overloaded',
        `${maxContainers} containers are running: no more are allowed (maxContainers).`,
        {
          maxContainers,
        },
      );
    }
    this.#booting += 1;
    try {
      const rootfs = path.resolve(options.rootfs);
      await this.#checkRootfs(rootfs);
      const { context } = await this.#prepare(rootfs);
      checkStage(context.stage, rootfs);
      const container = await bootContainer(
        context,
        {
          id: options.id ?? newContainerId(),
          rootfs,
          process: options.process,
          limits: { ...defaultLimits, ...this.#options.limits, ...options.limits },
          hostname: options.hostname ?? 'babelhost',
        },
        signal,
      );
      this.#running.add(container);
      void container.exited.then(() => this.#running.delete(container));
      return container;
    } finally {
      this.#booting -= 1;
    }
  }

  /** Ends every container and removes everything of this host. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#running].map((container) => container.kill()));
    const prepared = await this.#prepared?.catch(() => undefined);
    await prepared?.guard.close();
  }

  #prepare(rootfs?: string): Promise<Prepared> {
    if (this.#closed) {
      throw new BabelhostError('shuttingDown', 'The host is shutting down and starts no more containers.');
    }
    // A failure is not kept: its cause may be gone the next time.
    this.#prepared ??= this.#start(rootfs).catch((error: unknown) => {
      this.#prepared = undefined;
      throw explainSystemError('prepare for containers', error);
    });
    return this.#prepared;
  }

  async #start(rootfs?: string): Promise<Prepared> {
    const { directory, require: required = [], bootTimeoutMs = 30_000 } = this.#options;
    const name = newContainerId();
    const cgroup = `babelhost-${name}`;
    const [bootstrap, runtime, placement, highestLimits, ownScore] = await Promise.all([
      requireBootstrap(),
      findRuntime(this.#options.runtime ?? 'runc'),
      this.#place(cgroup),
      readFile('/proc/self/limits', 'utf8').then(parseHardLimits),
      readFile('/proc/self/oom_score_adj', 'utf8').then(Number),
      mkdir(directory, { recursive: true, mode: 0o700 }),
    ]);
    checkRequired(reportIsolation(runtime.name, this.#identity, placement), required);
    const reapings = new Reapings();
    const stage = await findStage([directory, bootstrap, runtime.path, ...(rootfs === undefined ? [] : [rootfs])]);
    const guard = await Guard.start({
      bootstrap,
      directory,
      name,
      stage,
      identity: this.#identity,
      cgroups: placement.hostFolders,
      cgroup2: cgroup2View(runtime.name, this.#layout),
      onReaped: (pid) => {
        reapings.reaped(pid);
      },
    });
    void guard.ended.then(() => {
      reapings.allGone();
      // The next boot starts another.
      this.#prepared = undefined;
      if (!this.#closed) this.#logger.error({ guard: guard.pid }, 'the guard has ended, and all containers with it');
    });
    await makeHostCgroups(placement);
    const context: BootContext = {
      bootstrap,
      runtime,
      guard,
      reapings,
      identity: this.#identity,
      placement,
      cgroup,
      stage,
      folder: path.join(directory, name),
      highestLimits,
      oomScoreAdj: Math.max(ownScore, oomScoreAdj),
      bootTimeoutMs,
      logger: this.#logger,
    };
    return { context, guard };
  }

  async #checkRootfs(rootfs: string): Promise<void> {
    if (this.#checkedRoots.has(rootfs)) return;
    try {
      await access(rootfs, constants.R_OK | constants.X_OK);
    } catch (error) {
      throw new BabelhostError(
        'containerFailed',
        `The root file system ${rootfs} cannot be read: install the image again.`,
        { rootfs },
        { cause: error },
      );
    }
    await makeMountPoints(rootfs, this.owners);
    if (this.#checkedRoots.size >= mostCheckedRoots) this.#checkedRoots.clear();
    this.#checkedRoots.add(rootfs);
  }

  #place(cgroup: string): Promise<CgroupPlacement> {
    return placeCgroups(this.#layout, this.#identity, path.basename(this.#options.runtime ?? 'runc'), cgroup);
  }
}

/** crun refuses cgroup v1 beside v2; it is shown v2 alone, and executed in v1 cgroups that are made for it. */
function cgroup2View(runtime: string, layout: CgroupLayout): string | undefined {
  if (runtime !== 'crun' || layout.kind !== 'hybrid') return undefined;
  return layout.hierarchies.find(({ version }) => version === 2)?.mountPoint;
}

/** A folder for the guard's stage, above none of `used`: it is hidden in the guard's mount namespace. */
async function findStage(used: readonly string[]): Promise<string> {
  for (const stage of stages) {
    if (used.some((file) => file === stage || file.startsWith(`${stage}/`))) continue;
    try {
      await access(stage, constants.X_OK);
      return stage;
    } catch {
      continue;
    }
  }
  throw new BabelhostError(
    'containerFailed',
    `None of ${stages.join(', ')} can be used to mount containers' files on: make one of them, empty.`,
    { stages },
  );
}

/** The stage was chosen when the first container was booted; a root file system that it hides came later. */
function checkStage(stage: string, rootfs: string): void {
  if (rootfs !== stage && !rootfs.startsWith(`${stage}/`)) return;
  throw new BabelhostError(
    'containerFailed',
    `The root file system ${rootfs} lies below ${stage}, where containers are prepared; keep all of them together.`,
    { rootfs, stage },
  );
}
