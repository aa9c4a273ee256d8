// One run of a container, from its start to its end, with its further processes. It holds what it needs (the image's root
// and the mark that this host runs the container) and releases it at its end.
import { addAbortListener } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ulid } from 'ulid';
import { BabelhostError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Container } from '../boot/container.ts';
import type { ContainerRuntime } from '../runtime.ts';
import { placeFiles, receivingFirst, type CopiedFile } from './copy.ts';
import { checkEntryPoint, type Definition, type EntryPoint } from './definition.ts';
import { fullLimits, type LifecycleLimits } from './limits.ts';
import { takeRunningMark } from './marks.ts';
import { TrackedProcess } from './tracked-process.ts';

/** Where root file systems come from: an image store. */
export interface RootSource {
  /** Keeps the root file system of an image in place until it is released. */
  lease(image: string): Promise<{ readonly rootfs: string; release(): Promise<void> }>;
}

export interface RunDependencies {
  readonly runtime: ContainerRuntime;
  readonly roots: RootSource;
  readonly limits: LifecycleLimits;
  readonly logger: Logger;
}

/** What a run holds, to be released in the opposite order. */
type Releases = (() => Promise<unknown>)[];

export class Run {
  readonly definition: Definition;
  readonly container: Container;
  readonly limits: LifecycleLimits;
  readonly main: TrackedProcess;
  /** Resolves when it has ended and nothing of it is left. Never rejects. */
  readonly ended: Promise<void>;
  /** The running ones, and those that ended last. */
  readonly processes = new Map<string, TrackedProcess>();
  #starting = 0;

  private constructor(definition: Definition, container: Container, dependencies: RunDependencies, releases: Releases) {
    this.definition = definition;
    this.container = container;
    this.limits = dependencies.limits;
    const { id, entryPoint } = definition;
    this.main = new TrackedProcess({ id, main: true, args: entryPoint.args }, container, this.limits.logBytes);
    this.processes.set(id, this.main);
    this.ended = this.main.ended.then(async () => {
      await container.kill();
      await Promise.allSettled([...this.processes.values()].map((process) => process.ended));
      await release(releases, dependencies.logger, id);
    });
  }

  /**
   * Starts a container as `definition` has it; resolves when its command has been executed, with `files` in place.
   * @param folder the container's, with its layer
   * @throws BabelhostError what leasing, booting and copying throw; `conflict` if another host runs it
   */
  static async start(
    definition: Definition,
    folder: string,
    files: readonly CopiedFile[],
    dependencies: RunDependencies,
    signal?: AbortSignal,
  ): Promise<Run> {
    const { runtime, roots, limits, logger } = dependencies;
    const { id, hostname, writable } = definition;
    const { args, env, cwd, user } = definition.entryPoint;
    const layer = path.join(folder, 'layer');
    const releases: Releases = [];
    try {
      releases.push(await takeRunningMark(folder, await runtime.hostFolder()));
      const root = await roots.lease(definition.image);
      releases.push(() => root.release());
      const options = {
        id,
        rootfs: root.rootfs,
        process: { args: files.length > 0 ? receivingFirst(args) : args, env, cwd, user },
        limits: fullLimits(definition.limits),
        hostname,
        ...(writable && { layer }),
      };
      const container = await runtime.boot(options, signal);
      releases.push(() => container.kill());
      if (files.length > 0) await placeFiles(container, files, limits, signal);
      container.stdin.end();
      const run = new Run(definition, container, dependencies, releases);
      if (writable) void run.#watchLayer(layer, dependencies);
      return run;
    } catch (error) {
      await release(releases, logger, id);
      throw error;
    }
  }

  get running(): boolean {
    return this.main.running;
  }

  /** Ends it: SIGTERM, and SIGKILL after `stopMs` or when `signal` is aborted. Resolves when nothing of it is left. */
  async stop(signal?: AbortSignal): Promise<void> {
    const { stopMs } = this.limits;
    const kill = () => {
      this.main.setEndReason(`It did not end within ${stopMs} ms after SIGTERM and was killed (limit: stopMs).`);
      void this.container.kill();
    };
    this.main.signal(15);
    const timer = setTimeout(kill, stopMs);
    const listener = signal && addAbortListener(signal, kill);
    await this.ended;
    listener?.[Symbol.dispose]();
    clearTimeout(timer);
  }

  /**
   * Starts a further process.
   * @throws BabelhostError `overloaded`, and what Container.execute throws
   */
  async execute(entryPoint: EntryPoint, input: Uint8Array, signal?: AbortSignal): Promise<TrackedProcess> {
    checkEntryPoint(entryPoint);
    const { processes: most, processLogBytes } = this.limits;
    const { id } = this.definition;
    const running = [...this.processes.values()].filter((process) => process.running).length - 1 + this.#starting;
    if (running >= most) {
      const message = `${most} further processes run in the container ${id}: end some (limit: processes).`;
      throw new BabelhostError('overloaded', message, { id, processes: most, limit: 'processes' });
    }
    this.#starting += 1;
    try {
      const started = await this.container.execute(entryPoint, signal);
      started.stdin.end(input);
      const process = new TrackedProcess({ id: ulid(), main: false, args: entryPoint.args }, started, processLogBytes);
      this.processes.set(process.id, process);
      const ended = [...this.processes.values()].filter((each) => !each.running && each !== this.main);
      for (const each of ended.slice(0, -most)) this.processes.delete(each.id);
      return process;
    } finally {
      this.#starting -= 1;
    }
  }

  /** Ends the run when its layer exceeds its limits, which the kernel does not check. */
  async #watchLayer(layer: string, { runtime, limits, logger }: RunDependencies): Promise<void> {
    for (;;) {
      await delay(limits.layerCheckMs, undefined, { ref: false });
      if (!this.running) return;
      try {
        const excess = await excessOf(runtime, layer, this.definition);
        if (excess === undefined) continue;
        this.main.setEndReason(`Its writable layer held more than its limit of ${excess}.`);
        await this.container.kill();
      } catch (error) {
        logger.warn({ err: error, container: this.definition.id }, 'a writable layer could not be measured');
      }
    }
  }
}

/**
 * Measures a layer in the guard's namespaces, as this user may not be allowed to read its files (native/measure.c).
 * @returns the limit that it exceeds, as part of a sentence, or undefined
 */
async function excessOf(runtime: ContainerRuntime, layer: string, { limits }: Definition): Promise<string | undefined> {
  const { layerBytes, layerFiles } = fullLimits(limits);
  const face = ['measure', String(layerFiles), String(layerBytes), path.join(layer, 'upper')];
  const { status, output, complaint } = await runtime.execInGuard(face);
  if (status !== 0) throw new Error(complaint.trim() || 'its measuring was interrupted');
  const [files = NaN, bytes = NaN] = output.split(' ').map(Number);
  if (bytes > layerBytes) return `${layerBytes} bytes (limit: layerBytes)`;
  if (files > layerFiles) return `${layerFiles} files and folders (limit: layerFiles)`;
  return undefined;
}

async function release(releases: Releases, logger: Logger, container: string): Promise<void> {
  for (const each of releases.reverse()) {
    await each().catch((error: unknown) => {
      logger.warn({ err: error, container }, 'part of a container could not be released');
    });
  }
}
