// The containers of a host: created and changed through handles, started, stopped, looked into and removed.
import { BabelhostError } from '../../base/errors.ts';
import { silentLogger, type Logger } from '../../base/log.ts';
import type { Unremoved } from '../../base/remove-tree.ts';
import { defaultHostName } from '../oci/host-name.ts';
import { newContainerId, type ContainerId } from '../id.ts';
import type { ContainerRuntime } from '../runtime.ts';
import { checkFiles, commitHandle, limitsNote, type CommitDependencies, type Committed } from './commit.ts';
import { Containers, type ContainerState, type ContainerStatus, type ContainerSummary } from './containers.ts';
import { copyOut, type CopiedFile } from './copy.ts';
import { checkEntryPoint, checkHostname, checkPath, type Definition, type EntryPoint } from './definition.ts';
import { DefinitionStore } from './definition-store.ts';
import { Handles, type Handle } from './handle.ts';
import {
  changeLimits,
  defaultLifecycleLimits,
  fullLimits,
  type LifecycleLimits,
  type LimitChanges,
  type RunLimits,
} from './limits.ts';
import { takeRunningMark } from './marks.ts';
import type { OutputChunk } from './output-log.ts';
import type { RootSource } from './run.ts';
import type { TrackedProcess } from './tracked-process.ts';

export interface RegistryOptions {
  /** The folder of the definitions; made when the first one is. No host's own folder may lie in it. */
  readonly folder: string;
  readonly runtime: ContainerRuntime;
  readonly roots: RootSource;
  readonly limits?: Partial<LifecycleLimits>;
  readonly logger?: Logger;
}

export interface NewContainer {
  readonly image: string;
  readonly entryPoint: EntryPoint;
  readonly hostname?: string;
  readonly writable?: boolean;
  readonly limits?: LimitChanges;
}

/** A handle's container, and the commit that it was taken after (0 for a container that is to be created). */
export interface HandleInfo {
  readonly handle: string;
  readonly id: ContainerId;
  readonly generation: number;
}

export class ContainerRegistry implements AsyncDisposable {
  /** Remains of containers that could not be removed when this was opened. */
  readonly unremoved: readonly Unremoved[];
  readonly #dependencies: CommitDependencies;
  readonly #containers: Containers;
  readonly #handles: Handles;
  /** The last work on each container, under way: further work waits for it. */
  readonly #queues = new Map<ContainerId, Promise<unknown>>();
  readonly #closing = new AbortController();

  private constructor(dependencies: CommitDependencies, unremoved: readonly Unremoved[]) {
    this.unremoved = unremoved;
    this.#dependencies = dependencies;
    this.#containers = dependencies.containers;
    this.#handles = dependencies.handles;
  }

  /** Opens the definitions of a store and removes unfinished and destroyed ones, as far as possible. Starts no container. */
  static async open(options: RegistryOptions): Promise<ContainerRegistry> {
    const { folder, runtime, roots, logger = silentLogger() } = options;
    const limits = { ...defaultLifecycleLimits, ...options.limits };
    const store = new DefinitionStore(folder, runtime, logger);
    const containers = new Containers(store, runtime);
    const dependencies = { runtime, roots, limits, logger, containers, handles: new Handles(limits) };
    return new ContainerRegistry(dependencies, await store.sweep());
  }

  /**
   * A handle whose commit creates a container.
   * @throws BabelhostError `overloaded`, `containerFailed` for an invalid definition
   */
  async create(options: NewContainer): Promise<HandleInfo> {
    this.#closing.signal.throwIfAborted();
    const { image, entryPoint, hostname = defaultHostName, writable = false } = options;
    checkEntryPoint(entryPoint);
    checkHostname(hostname);
    const limits = changeLimits({}, options.limits ?? {});
    const most = this.#dependencies.limits.definitions;
    if ((await this.#containers.store.ids()).length >= most) {
      const message = `There are ${most} containers: destroy some (limit: definitions).`;
      throw new BabelhostError('overloaded', message, { definitions: most, limit: 'definitions' });
    }
    const id = newContainerId();
    const createdAt = new Date().toISOString();
    const definition = { id, generation: 0, image, createdAt, hostname, writable, entryPoint, limits, pending: [] };
    return infoOf(this.#handles.open(id, 0, definition));
  }

  /**
   * A handle on a container as it is now.
   * @throws BabelhostError `notFound`, `overloaded`
   */
  async handle(id: string): Promise<HandleInfo> {
    const definition = await this.#containers.find(id);
    return infoOf(this.#handles.open(definition.id, definition.generation));
  }

  /** @throws BabelhostError `notFound` for the handle; `containerFailed` */
  setEntryPoint(handleId: string, changes: Partial<EntryPoint>): void {
    const handle = this.#handles.use(handleId);
    const entryPoint = { ...handle.entryPoint, ...changes };
    checkEntryPoint({ args: ['/'], env: {}, cwd: '/', user: '', ...entryPoint });
    handle.entryPoint = entryPoint;
  }

  /**
   * Records limits; -1 stands for the default.
   * @returns notes: if the container runs, the limits are ignored unless the commit stops it
   * @throws BabelhostError `notFound` for the handle; `containerFailed`
   */
  setLimits(handleId: string, changes: LimitChanges): readonly string[] {
    const handle = this.#handles.use(handleId);
    changeLimits({}, changes);
    handle.limits = { ...handle.limits, ...changes };
    const running = this.#containers.runs.get(handle.container)?.running === true;
    return running && handle.runState !== 'stopped' ? [limitsNote] : [];
  }

  /** @throws BabelhostError `notFound` for the handle */
  setRunState(handleId: string, runState: 'running' | 'stopped'): void {
    this.#handles.use(handleId).runState = runState;
  }

  /**
   * Records files to copy: at the commit into a running container, at its next start into a stopped one.
   * @throws BabelhostError `notFound` for the handle; `containerFailed` for a path; `contentTooLarge`
   */
  copyTo(handleId: string, files: readonly CopiedFile[]): void {
    const handle = this.#handles.use(handleId);
    for (const file of files) checkPath(file.path, 'The place of a file');
    const all = [...handle.files, ...files];
    const sizes = all.map(({ content }) => content.length);
    checkFiles(sizes, this.#dependencies.limits);
    handle.files = all;
  }

  /**
   * Makes all changes that were recorded in a handle, or none. Resolves when they are made; the handle is closed then.
   * @throws BabelhostError `conflict` if another commit came after the handle was taken; `notFound`; the error that a
   * change failed with: the container is as before then, and the handle may be committed again
   */
  async commit(handleId: string, signal?: AbortSignal): Promise<Committed> {
    const handle = this.#handles.use(handleId);
    const { signal: closing } = this.#closing;
    closing.throwIfAborted();
    const either = signal === undefined ? closing : AbortSignal.any([signal, closing]);
    return await this.#enqueue(handle.container, async () => {
      either.throwIfAborted();
      return await commitHandle(handle, this.#dependencies, either);
    });
  }

  /**
   * Removes a container with all it has written. Files that cannot be removed are logged.
   * @throws BabelhostError `notFound`; `conflict` if it runs
   */
  async destroy(anyId: string): Promise<void> {
    const { id } = await this.#containers.find(anyId);
    await this.#enqueue(id, async () => {
      const { store, runs, created } = this.#containers;
      await this.#containers.find(id);
      const run = runs.get(id);
      if (run?.running === true) {
        const message = `The container ${id} runs: stop it first, with a commit that sets its run state to stopped.`;
        throw new BabelhostError('conflict', message, { id, status: 'running' });
      }
      await run?.ended;
      // So that no other host starts it while it is removed. The mark goes with the folder.
      await takeRunningMark(store.folderOf(id), await this.#dependencies.runtime.hostFolder());
      await store.remove(id);
      runs.delete(id);
      created.delete(id);
    });
  }

  /** The containers, oldest first, all or those of a status. */
  async list(status?: ContainerStatus): Promise<ContainerSummary[]> {
    return await this.#containers.list(status);
  }

  /** @throws BabelhostError `notFound` */
  async config(id: string): Promise<Omit<Definition, 'limits'> & { readonly limits: RunLimits }> {
    const definition = await this.#containers.find(id);
    return { ...definition, limits: fullLimits(definition.limits) };
  }

  /** @throws BabelhostError `notFound` */
  async state(id: string): Promise<ContainerState> {
    return await this.#containers.state(id);
  }

  /**
   * Reads a file of a running container, with the rights of its own user.
   * @throws BabelhostError `notFound`; `conflict` if it does not run; `contentTooLarge`; `timeout`; `containerFailed`
   */
  async copyFrom(id: string, file: string, signal?: AbortSignal): Promise<{ content: Buffer; mode: number }> {
    checkPath(file, 'The path of a file');
    return await copyOut(await this.#containers.running(id), file, signal);
  }

  /**
   * Starts a further process in a running container. What is left out is as in the container's entry point.
   * @throws BabelhostError `notFound`; `conflict` if the container does not run; `overloaded`; `containerFailed`
   */
  async execute(
    id: string,
    entryPoint: Partial<EntryPoint> & Pick<EntryPoint, 'args'>,
    input: Uint8Array = new Uint8Array(),
    signal?: AbortSignal,
  ): Promise<TrackedProcess> {
    const run = await this.#containers.running(id);
    const { env, ...own } = run.definition.entryPoint;
    return await run.execute({ ...own, ...entryPoint, env: { ...env, ...entryPoint.env } }, input, signal);
  }

  /**
   * Sends a signal to a process, or to a container's main process.
   * @throws BabelhostError `notFound`; `conflict` if it has ended
   */
  async signal(id: string, signal: number): Promise<void> {
    const process = await this.#containers.process(id);
    if (!process.running) {
      throw new BabelhostError('conflict', `The process ${id} has ended: there is nothing to signal.`, { id });
    }
    process.signal(signal);
  }

  /**
   * The end of the output of a process, or of a container's main process.
   * @throws BabelhostError `notFound`
   */
  async logs(id: string): Promise<{ readonly chunks: readonly OutputChunk[]; readonly droppedBytes: number }> {
    const { log } = await this.#containers.process(id);
    return { chunks: log.read(), droppedBytes: log.droppedBytes };
  }

  /** Ends all containers. Commits under way are given up. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(
      new BabelhostError('shuttingDown', 'The host is shutting down and changes no more containers.'),
    );
    while (this.#queues.size > 0) await Promise.allSettled(this.#queues.values());
    const runs = [...this.#containers.runs.values()];
    await Promise.all(runs.map((run) => run.container.kill()));
    await Promise.all(runs.map((run) => run.ended));
  }

  /** Does `work` when all earlier work on the container is done, whether that failed or not. */
  async #enqueue<T>(id: ContainerId, work: () => Promise<T>): Promise<T> {
    const result = (this.#queues.get(id) ?? Promise.resolve()).then(work, work);
    this.#queues.set(id, result);
    try {
      return await result;
    } finally {
      if (this.#queues.get(id) === result) this.#queues.delete(id);
    }
  }
}

function infoOf(handle: Handle): HandleInfo {
  return { handle: handle.id, id: handle.container, generation: handle.generation };
}
