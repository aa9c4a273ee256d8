// One run of a container: from its start to its end, with its further processes. Holds what the run needs (the image's
// root, the mark that this host runs it) and lets it go at the end.
import path from 'node:path';
import { ulid } from 'ulid';
import { BabelhostError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Container } from '../boot/container.ts';
import type { ContainerRuntime } from '../runtime.ts';
import { readAtMost } from '../guard/bounded-output.ts';
import {
  copyFailure,
  filesArePlaced,
  mostComplaints,
  receivingFirst,
  sendFiles,
  whileCopying,
  type CopiedFile,
} from './copy.ts';
import { checkEntryPoint, type Definition, type EntryPoint } from './definition.ts';
import { bootLimits, fullLimits, type LifecycleLimits, type RunLimits } from './limits.ts';
import { OutputLog } from './output-log.ts';
import { RunningMark } from './running-mark.ts';
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

/** What a run holds, to be let go in the opposite order. */
type Releases = (() => Promise<unknown>)[];

export class Run {
  readonly definition: Definition;
  readonly container: Container;
  readonly main: TrackedProcess;
  /** Resolves when it has ended and nothing of it is left. Never rejects. */
  readonly ended: Promise<void>;
  /** Running ones, and of the ended ones those that ended last. */
  readonly processes = new Map<string, TrackedProcess>();
  readonly #dependencies: RunDependencies;
  #starting = 0;

  private constructor(
    definition: Definition,
    folder: string,
    container: Container,
    dependencies: RunDependencies,
    releases: Releases,
  ) {
    this.definition = definition;
    this.container = container;
    this.#dependencies = dependencies;
    const { args } = definition.entryPoint;
    const log = new OutputLog(dependencies.limits.logBytes);
    log.follow(container.stdout, container.stderr);
    this.main = new TrackedProcess(definition.id, true, args, container, log);
    this.processes.set(this.main.id, this.main);
    const stopWatching = definition.writable
      ? this.#watch(path.join(folder, 'layer'), fullLimits(definition.limits))
      : undefined;
    this.ended = this.main.ended.then(async () => {
      stopWatching?.();
      await container.kill();
      await Promise.allSettled([...this.processes.values()].map((process) => process.ended));
      await release(releases, dependencies.logger, definition.id);
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
    const releases: Releases = [];
    try {
      const mark = await RunningMark.take(folder, await dependencies.runtime.hostFolder());
      releases.push(() => mark.release());
      const root = await dependencies.roots.lease(definition.image);
      releases.push(() => root.release());
      const { args, env, cwd, user } = definition.entryPoint;
      const container = await dependencies.runtime.boot(
        {
          id: definition.id,
          rootfs: root.rootfs,
          process: { args: files.length > 0 ? receivingFirst(args) : args, env, cwd, user },
          limits: bootLimits(definition.limits),
          hostname: definition.hostname,
          ...(definition.writable && { layer: path.join(folder, 'layer') }),
        },
        signal,
      );
      releases.push(() => container.kill());
      if (files.length > 0) await whileCopying(dependencies.limits, signal, () => place(container, files));
      container.stdin.end();
      return new Run(definition, folder, container, dependencies, releases);
    } catch (error) {
      await release(releases, dependencies.logger, definition.id);
      throw error;
    }
  }

  get running(): boolean {
    return this.main.running;
  }

  /** Ends it: SIGTERM, and SIGKILL when `stopMs` are over or `signal` is aborted. Resolves when nothing of it is left. */
  async stop(signal?: AbortSignal): Promise<void> {
    const { stopMs } = this.#dependencies.limits;
    this.main.signal(15);
    const impatient = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, stopMs);
      signal?.addEventListener('abort', () => {
        resolve();
      });
      if (signal?.aborted === true) resolve();
      void this.ended.then(() => {
        clearTimeout(timer);
      });
    });
    await Promise.race([this.ended, impatient]);
    if (this.running)
      this.main.blame(`It did not end within ${stopMs} ms after SIGTERM and was killed (limit: stopMs).`);
    await this.container.kill();
    await this.ended;
  }

  /**
   * Starts a further process.
   * @throws BabelhostError `overloaded`, and what Container.execute throws
   */
  async execute(entryPoint: EntryPoint, input: Uint8Array, signal?: AbortSignal): Promise<TrackedProcess> {
    checkEntryPoint(entryPoint);
    const { processes, processLogBytes } = this.#dependencies.limits;
    const running = [...this.processes.values()].filter((process) => process.running).length - 1 + this.#starting;
    if (running >= processes) {
      throw new BabelhostError(
        'overloaded',
        `${processes} further processes run in the container ${this.definition.id}: end some (limit: processes).`,
        { id: this.definition.id, processes, limit: 'processes' },
      );
    }
    this.#starting += 1;
    try {
      const started = await this.container.execute(entryPoint, signal);
      started.stdin.end(input);
      const log = new OutputLog(processLogBytes);
      log.follow(started.stdout, started.stderr);
      const process = new TrackedProcess(ulid(), false, entryPoint.args, started, log);
      this.processes.set(process.id, process);
      this.#forgetEnded();
      return process;
    } finally {
      this.#starting -= 1;
    }
  }

  #forgetEnded(): void {
    const ended = [...this.processes.values()].filter((process) => !process.running && process !== this.main);
    for (const { id } of ended.slice(0, -this.#dependencies.limits.processes)) this.processes.delete(id);
  }

  /** Keeps the limits that nothing else keeps. */
  #watch(layer: string, runLimits: RunLimits): () => void {
    const { runtime, limits, logger } = this.#dependencies;
    let measuring = false;
    const look = async () => {
      if (measuring) return;
      measuring = true;
      try {
        const excess = await excessOf(runtime, layer, runLimits);
        if (excess === undefined) return;
        this.main.blame(`Its writable layer held more than its limit of ${excess}.`);
        await this.container.kill();
      } catch (error) {
        logger.warn({ err: error, container: this.definition.id }, 'a writable layer could not be measured');
      } finally {
        measuring = false;
      }
    };
    const timer = setInterval(() => void look(), limits.layerCheckMs);
    return () => {
      clearInterval(timer);
    };
  }
}

/** Hands the files to the container's first program and waits until it says that they are in place. */
async function place(container: Container, files: readonly CopiedFile[]): Promise<void> {
  const done = filesArePlaced(container.stdout);
  await sendFiles(container.stdin, files);
  if (await done) return;
  const complaints = await readAtMost(container.stderr, mostComplaints);
  throw copyFailure(complaints, 'copied into the container, and it was not started');
}

/**
 * Measures a layer, beside the containers: its files may be closed to us (native/measure.c).
 * @returns the limit that it is over, as a sentence has it, if it is over one
 */
async function excessOf(
  runtime: ContainerRuntime,
  layer: string,
  { layerBytes, layerFiles }: RunLimits,
): Promise<string | undefined> {
  const face = ['measure', String(layerFiles), String(layerBytes), path.join(layer, 'upper')];
  const { status, output, complaint } = await runtime.runBeside(face);
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
