// What a host has for its containers once the first one is wanted: the runtime, the guard and its folder, the cgroups. A
// guard that has ended is replaced, at the next boot or at once if it has something to remove.
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { silentLogger, type Logger } from '../../base/log.ts';
import type { BootContext } from '../boot/boot-context.ts';
import { makeHostCgroups, placeCgroups, type CgroupPlacement } from '../cgroup/placement.ts';
import type { CgroupLayout } from '../cgroup/cgroup.ts';
import { explainSystemError } from '../diagnose/failures.ts';
import { Guard } from './guard.ts';
import { newContainerId } from '../id.ts';
import { IdRanges } from '../oci/id-ranges.ts';
import { checkRequired, parseHardLimits, reportIsolation, type IsolationReport } from '../diagnose/isolation.ts';
import { identifySocket, noteSocket, type ListeningSocket } from './socket-cleanup.ts';
import { PinnedPrograms } from './pinned-programs.ts';
import type { IdMapping } from '../oci/id-mapping.ts';
import { ExitWaiters } from './exit-waiters.ts';
import { findRuntime } from '../oci/runtime-program.ts';
import type { ContainerRuntimeOptions } from '../runtime-options.ts';
import { findStage } from './stage.ts';

/** A container's own out-of-memory score: before the host's other processes, when the whole machine runs out. */
const oomScoreAdj = 300;

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
  /** This host's folder, while its guard lives. */
  #folder: string | undefined;
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
    // Whatever keeps the guard from starting is told by whoever needs it.
    const lacks = await this.prepare().then(
      ({ guard }) => guard.lacks,
      () => undefined,
    );
    return reportIsolation(runtime, this.#idMapping, this.#place('babelhost'), lacks);
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
    if (this.#folder !== undefined) noteSocket(this.#folder, this.#socket);
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
    const cgroup = `babelhost-${name}`;
    // At once, what the kernel has at hand: each turn of Node's threads takes longer, and the guard is to be starting when
    // this returns for the first time, whatever else the host does then.
    const programs = (this.#programs ??= PinnedPrograms.open());
    const runtime = findRuntime(this.#options.runtime ?? 'runc');
    const placement = this.#place(cgroup);
    const highestLimits = parseHardLimits(readFileSync('/proc/self/limits', 'utf8'));
    const ownScore = Number(readFileSync('/proc/self/oom_score_adj', 'utf8'));
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const exitWaiters = new ExitWaiters();
    const stage = findStage([directory, runtime.path, ...(rootfs === undefined ? [] : [rootfs])]);
    const guard = await Guard.start({
      bootstrap: programs.bootstrap,
      init: programs.init,
      directory,
      name,
      stage,
      runtime,
      idMapping: this.#idMapping,
      cgroups: placement.hostFolders,
      cgroup2: cgroup2View(runtime.name, this.#layout),
      onReaped: (pid, status) => {
        exitWaiters.reaped(pid, status);
      },
    });
    void guard.ended.then(() => {
      exitWaiters.allGone();
      // The next boot starts another.
      this.#prepared = undefined;
      this.#folder = undefined;
      if (this.#closing.aborted) return;
      this.#logger.error({ guard: guard.pid }, 'the guard has ended, and all containers with it');
      if (this.#socket !== undefined) this.#replaceGuard();
    });
    const folder = path.join(directory, name);
    try {
      checkRequired(reportIsolation(runtime.name, this.#idMapping, placement, guard.lacks), required);
      await makeHostCgroups(placement);
      // Last: once the guard knows of the socket, its end at our word would be the socket's.
      if (this.#socket !== undefined) noteSocket(folder, this.#socket);
    } catch (error) {
      await guard.close();
      throw error;
    }
    this.#folder = folder;
    return {
      bootstrap: programs.bootstrap,
      runtime: { ...runtime, makesCgroups: placement.maker === 'runtime' },
      guard,
      exitWaiters,
      idMapping: this.#idMapping,
      ranges: guard.lacks.ids === undefined ? this.#ranges : undefined,
      placement,
      cgroup,
      stage,
      folder,
      highestLimits,
      oomScoreAdj: Math.max(ownScore, oomScoreAdj),
      bootTimeoutMs,
      logger: this.#logger,
    };
  }

  /** Starts a guard for what the last one had to remove, without waiting for a boot. */
  #replaceGuard(): void {
    this.prepare().catch((error: unknown) => {
      this.#logger.warn({ err: error }, 'there is no guard now: until one is started, SIGKILL would leave the socket');
    });
  }

  #place(cgroup: string): CgroupPlacement {
    return placeCgroups(this.#layout, this.#idMapping, path.basename(this.#options.runtime ?? 'runc'), cgroup);
  }
}

/** crun refuses cgroup v1 beside v2; it is shown v2 alone, and executed in v1 cgroups that are made for it. */
function cgroup2View(runtime: string, layout: CgroupLayout): string | undefined {
  if (runtime !== 'crun' || layout.kind !== 'hybrid') return undefined;
  return layout.hierarchies.find(({ version }) => version === 2)?.mountPoint;
}
