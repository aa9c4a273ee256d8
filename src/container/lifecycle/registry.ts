// The containers of a host: their definitions, their runs, and the handles through which they are changed.
import { BabelhostError } from '../../base/errors.ts';
import { silentLogger, type Logger } from '../../base/log.ts';
import type { Unremoved } from '../../base/remove-tree.ts';
import { defaultHostName } from '../oci/host-name.ts';
import { newContainerId, type ContainerId } from '../id.ts';
import type { ContainerRuntime } from '../runtime.ts';
import { commitHandle, limitsNote, type CommitDependencies, type Committed } from './commit.ts';
import { Containers, type ContainerStatus } from './containers.ts';
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
import type { OutputChunk } from './output-log.ts';
import { listContainers, stateOf, type ContainerState, type ContainerSummary } from './overview.ts';
import { recordEntryPoint, recordFiles, recordLimits } from './recording.ts';
import { removeInGuard } from './remove-in-guard.ts';
import type { RootSource } from './run.ts';
import { RunningMark } from './running-mark.ts';
import { SerialQueues } from './serial-queues.ts';
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

/** What a handle knows: the container, and the commit that it was taken after (0 for one that is to be created). */
export interface HandleInfo {
  readonly handle: string;
  readonly id: ContainerId;
  readonly generation: number;
}

export class ContainerRegistry implements AsyncDisposable {
  readonly limits: LifecycleLimits;
  /** What is left of containers and could not be removed when this was opened. */
  readonly unremoved: readonly Unremoved[];
  readonly #runtime: ContainerRuntime;
  readonly #containers: Containers;
  readonly #handles: Handles;
  readonly #dependencies: CommitDependencies;
  readonly #queues = new SerialQueues();
  readonly #closing = new AbortController();

  private constructor(
    options: RegistryOptions,
    store: DefinitionStore,
    limits: LifecycleLimits,
    unremoved: readonly Unremoved[],
  ) {
    const { runtime, roots, logger = silentLogger() } = options;
    this.limits = limits;
    this.unremoved = unremoved;
    this.#runtime = runtime;
    this.#containers = new Containers(store, runtime);
    this.#handles = new Handles(limits);
    this.#dependencies = { runtime, roots, limits, logger, containers: this.#containers, handles: this.#handles };
  }

  /** Opens the definitions of a store and removes what was left half made, as far as it can be. Starts no container. */
  static async open(options: RegistryOptions): Promise<ContainerRegistry> {
    const { folder, runtime, logger = silentLogger() } = options;
    const removeTree = (container: string) => removeInGuard(runtime, container);
    const store = new DefinitionStore({ folder, owners: runtime.owners, logger, removeTree });
    const unremoved = await store.sweep();
    return new ContainerRegistry(options, store, { ...defaultLifecycleLimits, ...options.limits }, unremoved);
  }

  /**
   * A handle whose commit creates a container.
   * @throws BabelhostError `overloaded`, `containerFailed` for a definition that cannot be
   */
  async create(options: NewContainer): Promise<HandleInfo> {
    this.#closing.signal.throwIfAborted();
    const { image, entryPoint, hostname = defaultHostName, writable = false } = options;
    checkEntryPoint(entryPoint);
    checkHostname(hostname);
    const limits = changeLimits({}, options.limits ?? {});
    const most = this.limits.definitions;
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
  setEntryPoint(handleId: string, entryPoint: Partial<EntryPoint>): void {
    recordEntryPoint(this.#handles.use(handleId), entryPoint);
  }

  /**
   * Records limits; -1 stands for the default.
   * @returns what to say if the container runs: then they are passed over, unless the commit stops it
   * @throws BabelhostError `notFound` for the handle; `containerFailed`
   */
  setLimits(handleId: string, changes: LimitChanges): readonly string[] {
    const handle = this.#handles.use(handleId);
    recordLimits(handle, changes);
    return this.#containers.runs.get(handle.container)?.running === true && handle.runState !== 'stopped'
      ? [limitsNote]
      : [];
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
    recordFiles(this.#handles.use(handleId), files, this.limits);
  }

  /**
   * Does all that was recorded in a handle, or nothing. Resolves when it is done; the handle is used up then.
   * @throws BabelhostError `conflict` if another commit came after the handle was taken; `notFound`; whatever kept it
   * from being done: the container is as before then, and the handle may be committed again
   */
  async commit(handleId: string, signal?: AbortSignal): Promise<Committed> {
    const handle = this.#handles.use(handleId);
    const { signal: closing } = this.#closing;
    closing.throwIfAborted();
    const either = signal === undefined ? closing : AbortSignal.any([signal, closing]);
    return await this.#queues.run(handle.container, async () => {
      either.throwIfAborted();
      return await commitHandle(handle, this.#dependencies, either);
    });
  }

  /**
   * Removes a container with all it has written; of that, what cannot be removed is told in the log.
   * @throws BabelhostError `notFound`; `conflict` if it runs
   */
  async destroy(id: string): Promise<void> {
    const { id: known } = await this.#containers.find(id);
    await this.#queues.run(known, async () => {
      const definition = await this.#containers.find(known);
      if (this.#containers.runs.get(known)?.running === true) throw stillRuns(known);
      await this.#containers.runs.get(known)?.ended;
      // Nobody takes it away from under another host that runs it.
      await RunningMark.take(this.#containers.store.folderOf(known), await this.#runtime.hostFolder());
      await this.#containers.store.remove(definition.id);
      this.#containers.runs.delete(known);
      this.#containers.created.delete(known);
    });
  }

  /** The containers, oldest first, all or those of a status. */
  async list(status?: ContainerStatus): Promise<ContainerSummary[]> {
    return await listContainers(this.#containers, status);
  }

  /** @throws BabelhostError `notFound` */
  async config(id: string): Promise<Omit<Definition, 'limits'> & { readonly limits: RunLimits }> {
    const definition = await this.#containers.find(id);
    return { ...definition, limits: fullLimits(definition.limits) };
  }

  /** @throws BabelhostError `notFound` */
  async state(id: string): Promise<ContainerState> {
    return await stateOf(this.#containers, id);
  }

  /**
   * Reads a file of a running container, with the rights of its own user.
   * @throws BabelhostError `notFound`; `conflict` if it does not run; `contentTooLarge`; `timeout`; `containerFailed`
   */
  async copyFrom(id: string, file: string, signal?: AbortSignal): Promise<{ content: Buffer; mode: number }> {
    checkPath(file, 'The path of a file');
    const run = await this.#containers.running(id);
    return await copyOut(run.container, run.definition.entryPoint.user, file, this.limits, signal);
  }

  /**
   * Starts a further process in a running container. What it is not told, it has from the entry point.
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
   * What a process, or a container's main process, wrote last.
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
    await this.#queues.idle();
    await Promise.all([...this.#containers.runs.values()].map((run) => run.container.kill()));
    await Promise.all([...this.#containers.runs.values()].map((run) => run.ended));
  }
}

function infoOf(handle: Handle): HandleInfo {
  return { handle: handle.id, id: handle.container, generation: handle.generation };
}

function stillRuns(id: string): BabelhostError {
  return new BabelhostError(
    'conflict',
    `The container ${id} runs: stop it first, with a commit that sets its run state to stopped.`,
    { id, status: 'running' },
  );
}
