// The container room's face: boots containers, tells what isolates them, and ends them all when it is disposed of.
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError } from '../errors.ts';
import { silentLogger, type Logger } from '../log.ts';
import { bootContainer } from './boot.ts';
import type { BootContext } from './boot-context.ts';
import { makeHostCgroups, placeCgroups, type CgroupPlacement } from './cgroup-placement.ts';
import { readCgroupLayout, type CgroupLayout } from './cgroup.ts';
import type { Container } from './container.ts';
import { explainSystemError } from './failures.ts';
import { Guard } from './guard.ts';
import { bootWithHostName, defaultHostName } from './host-name.ts';
import { isContainerId, newContainerId, type ContainerId } from './id.ts';
import { runInGuard } from './in-guard.ts';
import { checkRequired, parseHardLimits, reportIsolation, type IsolationReport } from './isolation.ts';
import { checkLimits, defaultLimits, type Limits } from './limits.ts';
import { identifySocket, noteSocket, type ListenedSocket } from './listened-socket.ts';
import { defaultBase, findIdentity, ownersOf, type Identity, type OwnerMap } from './owners.ts';
import { makeMountPoints } from './mount-points.ts';
import { OpenedBootstrap } from './opened-bootstrap.ts';
import { Reapings } from './reapings.ts';
import { findRuntime, type RuntimeProgram } from './runtime-program.ts';
import { SeccompFilter } from './seccomp-filter.ts';
import type { ContainerProcess } from './spec.ts';
import { checkStage, findStage } from './stage.ts';

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
  /**
   * A folder with the folders `upper` and `work`, for what the container writes to its root; as root, `upper` belongs
   * to the container's root (`owners`). Without it the root is read-only. One container uses a layer at a time.
   */
  readonly layer?: string;
}

/** A container's own out-of-memory score: before the host's other processes, when the whole machine runs out. */
const oomScoreAdj = 300;

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
  readonly #running = new Set<Container>();
  /** Ids of containers that are being booted or are running. */
  readonly #ids = new Set<string>();
  readonly #boots = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  #prepared: Promise<Prepared> | undefined;
  #bootstrap: Promise<OpenedBootstrap> | undefined;
  /** This host's folder, while its guard lives. */
  #folder: string | undefined;
  #socket: ListenedSocket | undefined;

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

  /** This host's own folder in `directory`: it is there for as long as the host's containers can be. */
  async hostFolder(): Promise<string> {
    return (await this.#prepare()).context.folder;
  }

  /**
   * Has the guard remove a socket when this host is gone, however it ends: this guard, where it is started (`prepare`),
   * and every later one. To be called in the turn in which the socket was made, and once.
   * @param file its absolute path
   */
  removeSocketAtEnd(file: string): void {
    this.#socket = identifySocket(file);
    if (this.#folder !== undefined) noteSocket(this.#folder, this.#socket);
  }

  /**
   * Runs a program of this machine where the containers' files belong to somebody who may remove and measure them: in
   * the guard's namespaces, as their id 0.
   * @returns what it wrote to stdout, and its exit status
   */
  async runBeside(command: readonly string[]): Promise<{ readonly status: number | null; readonly output: string }> {
    return runInGuard((await this.#prepare()).context, command);
  }

  /**
   * Boots a container; resolves when its process has been executed.
   * @throws BabelhostError `runtimeMissing`; `containerFailed`, with the cause and what mends it; `overloaded`;
   * `timeout`; `shuttingDown`; the signal's reason if it is aborted
   */
  async boot(options: ContainerOptions, signal?: AbortSignal): Promise<Container> {
    const id = options.id ?? newContainerId();
    this.#checkId(id);
    const limits = { ...defaultLimits, ...this.#options.limits, ...options.limits };
    checkLimits(limits);
    const { signal: closing } = this.#closing;
    const boot = this.#boot({ ...options, id }, limits, signal ? AbortSignal.any([signal, closing]) : closing);
    this.#ids.add(id);
    this.#boots.add(boot);
    try {
      const container = await boot;
      this.#running.add(container);
      void container.exited.then(() => {
        this.#running.delete(container);
        this.#ids.delete(id);
      });
      return container;
    } catch (error) {
      this.#ids.delete(id);
      throw error;
    } finally {
      this.#boots.delete(boot);
    }
  }

  /** Ends every container and removes everything of this host. Boots under way fail with `shuttingDown`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new BabelhostError('shuttingDown', 'The host is shutting down and starts no more containers.'));
    await Promise.allSettled(this.#boots);
    await Promise.allSettled([...this.#running].map((container) => container.kill()));
    const prepared = await this.#prepared?.catch(() => undefined);
    await prepared?.guard.close();
    const bootstrap = await this.#bootstrap?.catch(() => undefined);
    await bootstrap?.[Symbol.asyncDispose]();
  }

  async #boot(
    options: ContainerOptions & { readonly id: ContainerId },
    limits: Limits,
    signal: AbortSignal,
  ): Promise<Container> {
    signal.throwIfAborted();
    const rootfs = path.resolve(options.rootfs);
    await makeMountPoints(rootfs, this.owners);
    const { context } = await this.#prepare(rootfs);
    checkStage(context.stage, rootfs);
    const { id, process, layer } = options;
    return bootWithHostName(options.hostname ?? defaultHostName, this.#logger, (hostname) =>
      bootContainer(context, { id, rootfs, process, limits, hostname, layer }, signal),
    );
  }

  #checkId(id: ContainerId): void {
    const { maxContainers = 1000 } = this.#options;
    if (this.#ids.size >= maxContainers) {
      const message = `${maxContainers} containers are running: no more are allowed (maxContainers).`;
      throw new BabelhostError('overloaded', message, { maxContainers });
    }
    // It names folders and cgroups.
    if (!isContainerId(id)) {
      throw new BabelhostError('containerFailed', 'A container id is a ULID of 26 capitals and digits.', { id });
    }
    if (this.#ids.has(id)) throw new BabelhostError('conflict', `A container with the id ${id} is running.`, { id });
  }

  #prepare(rootfs?: string): Promise<Prepared> {
    this.#closing.signal.throwIfAborted();
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
      this.#openBootstrap(),
      findRuntime(this.#options.runtime ?? 'runc'),
      this.#place(cgroup),
      readFile('/proc/self/limits', 'utf8').then(parseHardLimits),
      readFile('/proc/self/oom_score_adj', 'utf8').then(Number),
      mkdir(directory, { recursive: true, mode: 0o700 }),
    ]);
    checkRequired(reportIsolation(runtime.name, this.#identity, placement), required);
    const reapings = new Reapings();
    const stage = await findStage([directory, runtime.path, ...(rootfs === undefined ? [] : [rootfs])]);
    const guard = await Guard.start({
      bootstrap: bootstrap.path,
      directory,
      name,
      stage,
      runtime: runtime.path,
      identity: this.#identity,
      cgroups: placement.hostFolders,
      ownCgroup: placement.maker === 'none' ? undefined : ownCgroup(this.#layout),
      cgroup2: cgroup2View(runtime.name, this.#layout),
      onReaped: (pid) => {
        reapings.reaped(pid);
      },
    });
    void guard.ended.then(() => {
      reapings.allGone();
      // The next boot starts another.
      this.#prepared = undefined;
      this.#folder = undefined;
      if (this.#closing.signal.aborted) return;
      this.#logger.error({ guard: guard.pid }, 'the guard has ended, and all containers with it');
      if (this.#socket !== undefined) this.#replaceGuard();
    });
    const folder = path.join(directory, name);
    try {
      await makeHostCgroups(placement);
      // Last: once the guard knows of the socket, its end at our word would be the socket's.
      if (this.#socket !== undefined) noteSocket(folder, this.#socket);
    } catch (error) {
      await guard.close();
      throw error;
    }
    this.#folder = folder;
    const context: BootContext = {
      bootstrap: bootstrap.path,
      runtime: { ...runtime, makesCgroups: placement.maker === 'runtime' },
      guard,
      reapings,
      identity: this.#identity,
      placement,
      cgroup,
      stage,
      folder,
      highestLimits,
      oomScoreAdj: Math.max(ownScore, oomScoreAdj),
      seccompFilter: new SeccompFilter(runtime),
      bootTimeoutMs,
      logger: this.#logger,
    };
    return { context, guard };
  }

  /** Starts a guard for what the last one had to remove, without waiting for a boot. */
  #replaceGuard(): void {
    this.#prepare().catch((error: unknown) => {
      this.#logger.warn({ err: error }, 'there is no guard now: until one is started, SIGKILL would leave the socket');
    });
  }

  #openBootstrap(): Promise<OpenedBootstrap> {
    this.#bootstrap ??= OpenedBootstrap.open().catch((error: unknown) => {
      this.#bootstrap = undefined;
      throw error;
    });
    return this.#bootstrap;
  }

  #place(cgroup: string): Promise<CgroupPlacement> {
    return placeCgroups(this.#layout, this.#identity, path.basename(this.#options.runtime ?? 'runc'), cgroup);
  }
}

/** Any: the kernel has one lock for all hierarchies. */
function ownCgroup({ hierarchies: [hierarchy] }: CgroupLayout): string | undefined {
  return hierarchy && path.join(hierarchy.mountPoint, hierarchy.own);
}

/** crun refuses cgroup v1 beside v2; it is shown v2 alone, and executed in v1 cgroups that are made for it. */
function cgroup2View(runtime: string, layout: CgroupLayout): string | undefined {
  if (runtime !== 'crun' || layout.kind !== 'hybrid') return undefined;
  return layout.hierarchies.find(({ version }) => version === 2)?.mountPoint;
}
