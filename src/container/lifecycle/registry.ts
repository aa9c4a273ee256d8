// The containers of a host: their definitions, their runs, and the handles through which they are changed.
import path from 'node:path';
import { BabelhostError } from '../../errors.ts';
import { silentLogger, type Logger } from '../../log.ts';
import { isContainerId, newContainerId, type ContainerId } from '../id.ts';
import type { ContainerRuntime } from '../runtime.ts';
import { copyIn, copyOut, type CopiedFile } from './copy.ts';
import { checkEntryPoint, checkHostname, checkPath, type Definition, type EntryPoint } from './definition.ts';
import { committedMeanwhile, DefinitionStore, namesIn, RunningMark, type Staged } from './definition-store.ts';
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
import { Run, type RootSource } from './run.ts';
import { SerialQueues } from './serial-queues.ts';
import type { ProcessState, TrackedProcess } from './tracked-process.ts';

export interface RegistryOptions {
  /** The folder of the definitions; made when the first one is. No host's own folder may lie in it. */
  readonly folder: string;
  readonly runtime: ContainerRuntime;
  readonly roots: RootSource;
  readonly limits?: Partial<LifecycleLimits>;
  readonly logger?: Logger;
}

/** `created`: committed in this host's time and never started since. */
export type ContainerStatus = 'created' | 'running' | 'stopped';

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

export interface Committed {
  readonly id: ContainerId;
  readonly generation: number;
  readonly status: ContainerStatus;
  /** What was recorded and has no effect yet, or none at all, a sentence each. */
  readonly notes: readonly string[];
}

export interface ContainerSummary {
  readonly id: ContainerId;
  readonly image: string;
  readonly status: ContainerStatus;
  readonly createdAt: string;
  readonly args: readonly string[];
}

export interface ContainerState {
  readonly id: ContainerId;
  readonly status: ContainerStatus;
  /** The main process first. Of ended containers, those of the last run in this host's time. */
  readonly processes: readonly ProcessState[];
}

const limitsNote =
  'The container runs: its limits were not changed. Stop it in the same commit, or before, to change them.';
const entryPointNote = 'The container runs: its entry point counts from its next start.';

export class ContainerRegistry implements AsyncDisposable {
  readonly limits: LifecycleLimits;
  readonly #store: DefinitionStore;
  readonly #runtime: ContainerRuntime;
  readonly #roots: RootSource;
  readonly #logger: Logger;
  readonly #handles: Handles;
  /** The last run of each container in this host's time. */
  readonly #runs = new Map<ContainerId, Run>();
  /** Created in this host's time. */
  readonly #created = new Set<ContainerId>();
  readonly #queues = new SerialQueues();
  readonly #closing = new AbortController();

  private constructor(options: RegistryOptions, store: DefinitionStore, limits: LifecycleLimits) {
    this.#store = store;
    this.limits = limits;
    this.#runtime = options.runtime;
    this.#roots = options.roots;
    this.#logger = options.logger ?? silentLogger();
    this.#handles = new Handles(limits);
  }

  /** Opens the definitions of a store and removes what was left half made. Starts nothing. */
  static async open(options: RegistryOptions): Promise<ContainerRegistry> {
    const { folder, runtime, logger = silentLogger() } = options;
    const store = new DefinitionStore({
      folder,
      owners: runtime.owners,
      logger,
      removeLayer: async (layer) => {
        // As the containers' root, which may own folders that are closed to an ordinary user.
        if (runtime.owners.kind === 'single') await runtime.runBeside(['rm', '-rf', '--', layer]);
      },
    });
    await store.sweep();
    return new ContainerRegistry(options, store, { ...defaultLifecycleLimits, ...options.limits });
  }

  /**
   * A handle whose commit creates a container.
   * @throws BabelhostError `overloaded`, `containerFailed` for a definition that cannot be
   */
  async create(options: NewContainer): Promise<HandleInfo> {
    this.#closing.signal.throwIfAborted();
    const { image, entryPoint, hostname = 'babelhost', writable = false } = options;
    checkEntryPoint(entryPoint);
    checkHostname(hostname);
    const limits = changeLimits({}, options.limits ?? {});
    const most = this.limits.definitions;
    if ((await this.#store.ids()).length >= most) {
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
    const definition = await this.#find(id);
    return infoOf(this.#handles.open(definition.id, definition.generation));
  }

  /** @throws BabelhostError `notFound` for the handle; `containerFailed` */
  setEntryPoint(handleId: string, entryPoint: Partial<EntryPoint>): void {
    const handle = this.#handles.use(handleId);
    const merged = { ...handle.entryPoint, ...entryPoint };
    checkEntryPoint({ args: ['/'], env: {}, cwd: '/', user: '', ...merged });
    handle.entryPoint = merged;
  }

  /**
   * Records limits; -1 stands for the default.
   * @returns what to say if the container runs: then they are passed over, unless the commit stops it
   * @throws BabelhostError `notFound` for the handle; `containerFailed`
   */
  setLimits(handleId: string, changes: LimitChanges): readonly string[] {
    const handle = this.#handles.use(handleId);
    changeLimits({}, changes);
    handle.limits = { ...handle.limits, ...changes };
    return this.#runs.get(handle.container)?.running === true && handle.runState !== 'stopped' ? [limitsNote] : [];
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
    this.#checkFiles([...handle.files, ...files].map(({ content }) => content.length));
    handle.files = [...handle.files, ...files];
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
      return await this.#commit(handle, either);
    });
  }

  /**
   * Removes a container with all it has written.
   * @throws BabelhostError `notFound`; `conflict` if it runs
   */
  async destroy(id: string): Promise<void> {
    const { id: known } = await this.#find(id);
    await this.#queues.run(known, async () => {
      const definition = await this.#find(known);
      if (this.#runs.get(known)?.running === true) throw stillRuns(known);
      await this.#runs.get(known)?.ended;
      // Nobody takes it away from under another host that runs it.
      await RunningMark.take(this.#store.folderOf(known), await this.#runtime.hostFolder());
      await this.#store.remove(definition.id);
      this.#runs.delete(known);
      this.#created.delete(known);
    });
  }

  /** The containers, oldest first, all or those of a status. */
  async list(status?: ContainerStatus): Promise<ContainerSummary[]> {
    const found: ContainerSummary[] = [];
    for (const id of await this.#store.ids()) {
      const definition = await this.#store.find(id);
      if (definition === undefined) continue;
      const summary = {
        id,
        image: definition.image,
        status: await this.#statusOf(id),
        createdAt: definition.createdAt,
      };
      if (status === undefined || status === summary.status) {
        found.push({ ...summary, args: definition.entryPoint.args });
      }
    }
    return found;
  }

  /** @throws BabelhostError `notFound` */
  async config(id: string): Promise<Omit<Definition, 'limits'> & { readonly limits: RunLimits }> {
    const definition = await this.#find(id);
    return { ...definition, limits: fullLimits(definition.limits) };
  }

  /** @throws BabelhostError `notFound` */
  async state(id: string): Promise<ContainerState> {
    const definition = await this.#find(id);
    const processes = [...(this.#runs.get(definition.id)?.processes.values() ?? [])];
    return {
      id: definition.id,
      status: await this.#statusOf(definition.id),
      processes: processes.map((process) => process.state),
    };
  }

  /**
   * Reads a file of a running container, with the rights of its own user.
   * @throws BabelhostError `notFound`; `conflict` if it does not run; `contentTooLarge`; `containerFailed`
   */
  async copyFrom(id: string, file: string, signal?: AbortSignal): Promise<{ content: Buffer; mode: number }> {
    checkPath(file, 'The path of a file');
    const run = await this.#running(id);
    return await copyOut(run.container, run.definition.entryPoint.user, file, this.limits.copyBytes, signal);
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
    const run = await this.#running(id);
    const { env, ...own } = run.definition.entryPoint;
    return await run.execute({ ...own, ...entryPoint, env: { ...env, ...entryPoint.env } }, input, signal);
  }

  /**
   * Sends a signal to a process, or to a container's main process.
   * @throws BabelhostError `notFound`; `conflict` if it has ended
   */
  async signal(id: string, signal: number): Promise<void> {
    const process = await this.#process(id);
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
    const { log } = await this.#process(id);
    return { chunks: log.read(), droppedBytes: log.droppedBytes };
  }

  /** Ends all containers. Commits under way are given up. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(
      new BabelhostError('shuttingDown', 'The host is shutting down and changes no more containers.'),
    );
    await this.#queues.idle();
    await Promise.all([...this.#runs.values()].map((run) => run.container.kill()));
    await Promise.all([...this.#runs.values()].map((run) => run.ended));
  }

  async #commit(handle: Handle, signal: AbortSignal): Promise<Committed> {
    const { container: id, creates } = handle;
    const current = creates ?? (await this.#find(id));
    const previous = this.#runs.get(id);
    const runs = previous?.running === true;
    const willRun = handle.runState === undefined ? runs : handle.runState === 'running';
    const notes: string[] = [];
    if (current.generation !== handle.generation) {
      this.#handles.close(handle);
      throw committedMeanwhile(id);
    }
    if (!runs && creates === undefined && (await this.#runsElsewhere(id))) {
      const message = `Another babelhost on this store runs the container ${id}: change it there.`;
      throw new BabelhostError('conflict', message, { id });
    }
    if (runs && willRun && Object.keys(handle.limits).length > 0) notes.push(limitsNote);
    if (runs && willRun && Object.keys(handle.entryPoint).length > 0) notes.push(entryPointNote);
    const pending = [...current.pending];
    this.#checkFiles([...pending.map(({ size }) => size), ...handle.files.map(({ content }) => content.length)]);
    const starts = willRun && !runs;
    const next: Definition = {
      ...current,
      generation: current.generation + 1,
      entryPoint: { ...current.entryPoint, ...handle.entryPoint },
      limits: runs && willRun ? current.limits : changeLimits(current.limits, handle.limits),
      pending: willRun ? [] : pending,
    };
    checkEntryPoint(next.entryPoint);
    const earlier = starts ? await this.#store.pendingFiles(current) : [];
    const staged = await this.#store.stage(next, willRun ? [] : handle.files);
    try {
      await this.#carryOut(next, staged, { handle, earlier, starts, runs, willRun, previous }, signal);
    } catch (error) {
      await staged.abandon();
      if (error instanceof BabelhostError && error.kind === 'conflict') this.#handles.close(handle);
      throw error;
    }
    this.#handles.close(handle);
    if (creates !== undefined) this.#created.add(id);
    if (starts) this.#created.delete(id);
    return { id, generation: next.generation, status: willRun ? 'running' : await this.#statusOf(id), notes };
  }

  /** Brings the container into its new state, and enters the definition as the last step. */
  async #carryOut(next: Definition, staged: Staged, step: Step, signal: AbortSignal): Promise<void> {
    const { handle, earlier, starts, runs, willRun, previous } = step;
    if (starts) {
      await previous?.ended;
      const files = [...earlier, ...handle.files];
      const around = { runtime: this.#runtime, roots: this.#roots, limits: this.limits, logger: this.#logger };
      const run = await Run.start(next, staged.folder, files, around, signal);
      try {
        await staged.enter();
      } catch (error) {
        await run.container.kill();
        await run.ended;
        throw error;
      }
      this.#runs.set(next.id, run);
      return;
    }
    if (runs && willRun && previous !== undefined && handle.files.length > 0) {
      await copyIn(previous.container, previous.definition.entryPoint.user, handle.files, signal);
    }
    // A container that is stopped cannot be started again as it was: so the definition is entered first, which can
    // fail, and the stopping, which cannot, comes after.
    await staged.enter();
    if (runs && !willRun) await previous?.stop(signal);
  }

  #checkFiles(sizes: readonly number[]): void {
    const { copyBytes, copyFiles } = this.limits;
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    if (bytes > copyBytes) {
      const message = `The files to copy have ${bytes} bytes, more than ${copyBytes}: copy them in parts (limit: copyBytes).`;
      throw new BabelhostError('contentTooLarge', message, { bytes, limitBytes: copyBytes, limit: 'copyBytes' });
    }
    if (sizes.length > copyFiles) {
      const message = `There are ${sizes.length} files to copy, more than ${copyFiles}: copy them in parts (limit: copyFiles).`;
      throw new BabelhostError('contentTooLarge', message, { files: sizes.length, limit: 'copyFiles' });
    }
  }

  async #statusOf(id: ContainerId): Promise<ContainerStatus> {
    if (this.#runs.get(id)?.running === true || (await this.#runsElsewhere(id))) return 'running';
    return this.#created.has(id) ? 'created' : 'stopped';
  }

  async #find(id: string): Promise<Definition> {
    const definition = isContainerId(id) ? await this.#store.find(id) : undefined;
    if (definition !== undefined) return definition;
    const shown = id.slice(0, 100);
    throw new BabelhostError(
      'notFound',
      `There is no container ${shown}: 'babelhost container list' lists those there are.`,
      { id: shown },
    );
  }

  async #running(id: string): Promise<Run> {
    const definition = await this.#find(id);
    const run = this.#runs.get(definition.id);
    if (run?.running === true) return run;
    throw new BabelhostError(
      'conflict',
      `The container ${id} does not run: start it with a commit that sets its run state to running.`,
      { id, status: await this.#statusOf(definition.id) },
    );
  }

  /** Whether another host on this store runs it. */
  async #runsElsewhere(id: ContainerId): Promise<boolean> {
    const folder = this.#store.folderOf(id);
    if ((await RunningMark.holders(folder)).length === 0) return false;
    // Starting our own guard removes what dead hosts have left; whose folder is there after that lives.
    const own = await this.#runtime.hostFolder();
    const hosts = await namesIn(path.dirname(own));
    const holders = await RunningMark.holders(folder);
    return holders.some((name) => name !== path.basename(own) && hosts.includes(name));
  }

  async #process(id: string): Promise<TrackedProcess> {
    for (const run of this.#runs.values()) {
      const process = run.processes.get(id);
      if (process !== undefined) return process;
    }
    // A container that has not been started in this host's time is known, its process is not.
    const { id: container } = await this.#find(id);
    throw new BabelhostError('conflict', `The container ${container} has no process: it was not started.`, {
      id: container,
      status: await this.#statusOf(container),
    });
  }
}

/** What a commit has to do. */
interface Step {
  readonly handle: Handle;
  /** Files that earlier commits left for this start. */
  readonly earlier: readonly CopiedFile[];
  readonly starts: boolean;
  readonly runs: boolean;
  readonly willRun: boolean;
  readonly previous: Run | undefined;
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
