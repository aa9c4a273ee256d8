// What a host has for its containers once the first one is wanted: the runtime, the guard and its folder, the cgroups. A
// guard that has ended is replaced: at once if it has a socket to remove, else at the next boot.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { silentLogger, type Logger } from '../../base/log.ts';
import type { BootContext } from '../boot/boot-context.ts';
import type { CgroupLayout } from '../cgroup/cgroup.ts';
import { makeHostCgroups, placeCgroups, type CgroupPlacement } from '../cgroup/placement.ts';
import { explainSystemError } from '../diagnose/failures.ts';
import { checkRequired, reportIsolation, type IsolationReport } from '../diagnose/isolation.ts';
import { newContainerId } from '../id.ts';
import { IdRanges, type IdMapping } from '../oci/id-mapping.ts';
import { findRuntime } from '../oci/runtime-program.ts';
import { SeccompFilter } from '../oci/seccomp-filter.ts';
import type { ContainerRuntimeOptions } from '../options.ts';
import { Guard } from './guard.ts';
import { PinnedPrograms } from './pinned-programs.ts';
import { identifySocket, noteSocket, type ListeningSocket } from './socket-cleanup.ts';
import { findStage } from './stage.ts';

export class GuardSupervisor {
  readonly #options: ContainerRuntimeOptions;
  readonly #idMapping: IdMapping;
  readonly #ranges: IdRanges | undefined;
  readonly #layout: CgroupLayout;
  readonly #logger: Logger;
  /** Aborted when no more containers are to be booted. */
  readonly #closing: AbortSignal;
  #prepared: Promise<BootContext> | undefined;
  #programs: PinnedPrograms | undefined;
  /** While it lives. */
  #guard: Guard | undefined;
  #socket: ListeningSocket | undefined;

  constructor(options: ContainerRuntimeOptions, idMapping: IdMapping, layout: CgroupLayout, closing: AbortSignal) {
    this.#options = options;
    this.#idMapping = idMapping;
    if (idMapping.kind === 'privileged' && idMapping.ranges > 0) {
      this.#ranges = new IdRanges(idMapping.ids.first + idMapping.ids.count, idMapping.ranges);
    }
    this.#layout = layout;
    this.#logger = options.logger ?? silentLogger();
    this.#closing = closing;
  }

  /** What is in force for the containers of this host. Starts the guard, which tries some of it. */
  async isolation(): Promise<IsolationReport> {
    const runtime = path.basename(this.#options.runtime ?? 'runc');
    // A guard that cannot be started is an error where it is needed, and not here.
    const prepared = await this.prepare().catch(() => undefined);
    return reportIsolation(runtime, this.#idMapping, this.#place('babelhost'), prepared?.guard.lacks);
  }

  /**
   * Finds the runtime, starts the guard, and sweeps what dead hosts have left, unless that has been done.
   * @param rootfs what the first container needs to see
   * @throws BabelhostError `runtimeMissing`, `containerFailed`
   */
  prepare(rootfs?: string): Promise<BootContext> {
    this.#closing.throwIfAborted();
    // A failure is not kept: its cause may be gone the next time.
    this.#prepared ??= this.#start(rootfs).catch((error: unknown) => {
      this.#prepared = undefined;
      throw explainSystemError('prepare for containers', error);
    });
    return this.#prepared;
  }

  /** See ContainerRuntime.removeSocketAtEnd. */
  removeSocketAtEnd(file: string): void {
    this.#socket = identifySocket(file);
    if (this.#guard !== undefined) noteSocket(this.#guard.folder, this.#socket);
  }

  /** Ends the guard, and with it all that is left of the containers. */
  async close(): Promise<void> {
    const prepared = await this.#prepared?.catch(() => undefined);
    await prepared?.guard.close();
    this.#programs?.[Symbol.dispose]();
    this.#programs = undefined;
  }

  async #start(rootfs?: string): Promise<BootContext> {
    const { directory, require: required = [], bootTimeoutMs = 30_000 } = this.#options;
    const name = newContainerId();
    this.#programs ??= PinnedPrograms.open();
    const { bootstrap, init } = this.#programs;
    const runtime = findRuntime(this.#options.runtime ?? 'runc');
    const placement = this.#place(`babelhost-${name}`);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const guard = await Guard.start({
      ...{ bootstrap, init, directory, name, runtime, idMapping: this.#idMapping },
      stage: findStage([directory, runtime.path, ...(rootfs === undefined ? [] : [rootfs])]),
      cgroups: placement.hostFolders,
      cgroup2: cgroup2View(runtime.name, this.#layout),
    });
    void guard.ended.then(() => {
      this.#prepared = undefined;
      this.#guard = undefined;
      if (this.#closing.aborted) return;
      this.#logger.error({ guard: guard.pid }, 'the guard has ended, and all containers with it');
      if (this.#socket !== undefined) this.#replaceGuard();
    });
    try {
      checkRequired(reportIsolation(runtime.name, this.#idMapping, placement, guard.lacks), required);
      await makeHostCgroups(placement);
      // Last: a guard that has the note removes the socket when we close it.
      if (this.#socket !== undefined) noteSocket(guard.folder, this.#socket);
    } catch (error) {
      await guard.close();
      throw error;
    }
    this.#guard = guard;
    return {
      runtime: { ...runtime, makesCgroups: placement.maker === 'runtime' },
      guard,
      idMapping: this.#idMapping,
      ranges: guard.lacks.ids === undefined ? this.#ranges : undefined,
      placement,
      seccompFilter: new SeccompFilter(runtime),
      bootTimeoutMs,
      logger: this.#logger,
    };
  }

  /** Starts a guard for the socket that the last one had to remove, without waiting for a boot. */
  #replaceGuard(): void {
    this.prepare().catch((error: unknown) => {
      this.#logger.warn({ err: error }, 'there is no guard now: until one is started, SIGKILL would leave the socket');
    });
  }

  #place(name: string): CgroupPlacement {
    return placeCgroups(this.#layout, this.#idMapping, path.basename(this.#options.runtime ?? 'runc'), name);
  }
}

/** crun refuses cgroup v1 beside v2; it is shown v2 alone, and executed in v1 cgroups that are made for it. */
function cgroup2View(runtime: string, layout: CgroupLayout): string | undefined {
  if (runtime !== 'crun' || layout.kind !== 'hybrid') return undefined;
  return layout.hierarchies.find(({ version }) => version === 2)?.mountPoint;
}
