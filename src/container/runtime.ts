// Boots containers, reports what isolates them, and ends them all when it is disposed of.
import path from 'node:path';
import { BabelhostError } from '../base/errors.ts';
import { readCgroupLayout, type CgroupLayout } from './cgroup/cgroup.ts';
import type { Container } from './boot/container.ts';
import { defaultHostName, isHostNameRefusal } from './oci/host-name.ts';
import { GuardSupervisor } from './guard/guard-supervisor.ts';
import { isContainerId, newContainerId, type ContainerId } from './id.ts';
import { execInGuard, type ExecResult } from './guard/exec-in-guard.ts';
import type { IsolationReport } from './diagnose/isolation.ts';
import { checkLimits, defaultLimits, type Limits } from './limits.ts';
import { makeMountPoints } from './oci/mount-points.ts';
import type { FileOwners } from '../base/file-owners.ts';
import { defaultBase, findIdMapping, fileOwnersOf, type IdMapping } from './oci/id-mapping.ts';
import { findRuntime, type RuntimeProgram } from './oci/runtime-program.ts';
import type { ContainerOptions, ContainerRuntimeOptions } from './options.ts';
import { checkStage } from './guard/stage.ts';

export class ContainerRuntime implements AsyncDisposable {
  /** Which owners the files of an image must have so that containers can use them. */
  readonly owners: FileOwners;
  readonly #options: ContainerRuntimeOptions;
  readonly #host: GuardSupervisor;
  /** Containers that are being booted or are running. */
  readonly #containers = new Map<ContainerId, Promise<Container>>();
  readonly #closing = new AbortController();
  #keepsHostName = false;

  private constructor(options: ContainerRuntimeOptions, idMapping: IdMapping, layout: CgroupLayout) {
    this.#options = options;
    this.#host = new GuardSupervisor(options, idMapping, layout, this.#closing.signal);
    this.owners = fileOwnersOf(idMapping);
  }

  /** Reads what the machine has; starts nothing yet. */
  static open(options: ContainerRuntimeOptions): Promise<ContainerRuntime> {
    return Promise.resolve().then(() => {
      const idMapping = findIdMapping(options.idBase ?? defaultBase);
      const whole = { ...options, directory: path.resolve(options.directory) };
      return new ContainerRuntime(whole, idMapping, readCgroupLayout());
    });
  }

  /** What is in force for the containers of this host. */
  isolation(): Promise<IsolationReport> {
    return this.#host.isolation();
  }

  /**
   * The OCI runtime that boots the containers.
   * @throws BabelhostError `runtimeMissing`
   */
  program(): Promise<RuntimeProgram> {
    return Promise.resolve().then(() => findRuntime(this.#options.runtime ?? 'runc'));
  }

  /**
   * Does what the first boot would do: finds the runtime, starts the guard, removes what dead hosts have left.
   * @returns the process id of the guard's process 1, which all containers descend from
   * @throws BabelhostError `runtimeMissing`, `containerFailed`
   */
  async prepare(): Promise<number> {
    return (await this.#host.prepare()).guard.pid;
  }

  /** This host's own folder in `directory`, which is there for as long as its guard lives. */
  async hostFolder(): Promise<string> {
    return (await this.#host.prepare()).guard.folder;
  }

  /**
   * Has the guard, and any later one, remove a socket when this host is gone, however it ends. Call it once, in the turn of
   * the event loop in which the socket was made.
   * @param file its absolute path
   */
  removeSocketAtEnd(file: string): void {
    this.#host.removeSocketAtEnd(file);
  }

  /**
   * Executes a command of the bootstrap in the guard's namespaces as their id 0, which may remove and measure the
   * containers' files. It is killed after ten minutes.
   * @throws BabelhostError `runtimeMissing`, `containerFailed` if it cannot be executed
   */
  async execInGuard(command: readonly string[]): Promise<ExecResult> {
    return execInGuard(await this.#host.prepare(), command);
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
    this.#containers.set(id, boot);
    const forget = () => {
      this.#containers.delete(id);
    };
    try {
      const container = await boot;
      void container.exited.then(forget);
      return container;
    } catch (error) {
      forget();
      throw error;
    }
  }

  /**
   * Whether containers that were given no host name keep the one around babelhost: a seccomp filter, which stays with its
   * process for ever (seccomp(2)), refused to set it.
   */
  get keepsHostName(): boolean {
    return this.#keepsHostName;
  }

  /** Ends every container and removes everything of this host. Boots under way fail with `shuttingDown`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new BabelhostError('shuttingDown', 'The host is shutting down and starts no more containers.'));
    await Promise.allSettled([...this.#containers.values()].map(async (boot) => (await boot).kill()));
    await this.#host.close();
  }

  async #boot(
    options: ContainerOptions & { readonly id: ContainerId },
    limits: Limits,
    signal: AbortSignal,
  ): Promise<Container> {
    const { bootContainer } = await import('./boot/boot.ts');
    signal.throwIfAborted();
    const rootfs = path.resolve(options.rootfs);
    await makeMountPoints(rootfs, this.owners);
    const context = await this.#host.prepare(rootfs);
    checkStage(context.guard.stage, rootfs);
    const { hostname = defaultHostName } = options;
    const boot = (named: string | undefined) =>
      bootContainer(context, { ...options, rootfs, limits, hostname: named }, signal);
    if (hostname === defaultHostName && this.#keepsHostName) return boot(undefined);
    try {
      return await boot(hostname);
    } catch (error) {
      if (hostname !== defaultHostName || !isHostNameRefusal(error)) throw error;
      if (!this.#keepsHostName) {
        context.logger.info('containers keep the host name around babelhost: a seccomp filter forbids setting another');
      }
      this.#keepsHostName = true;
      return boot(undefined);
    }
  }

  #checkId(id: ContainerId): void {
    const { maxContainers = 1000 } = this.#options;
    if (this.#containers.size >= maxContainers) {
      const message = `${maxContainers} containers are running: no more are allowed (maxContainers).`;
      throw new BabelhostError('overloaded', message, { maxContainers });
    }
    // It names folders and cgroups.
    if (!isContainerId(id)) {
      throw new BabelhostError('containerFailed', 'A container id is a ULID of 26 capitals and digits.', { id });
    }
    if (this.#containers.has(id))
      throw new BabelhostError('conflict', `A container with the id ${id} is running.`, { id });
  }
}
