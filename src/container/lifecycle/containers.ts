// The containers of a store as this host sees them: their definitions, and their runs since the host was started.
import { BabelhostError } from '../../base/errors.ts';
import { isContainerId, type ContainerId } from '../id.ts';
import type { ContainerRuntime } from '../runtime.ts';
import type { Definition } from './definition.ts';
import type { DefinitionStore } from './definition-store.ts';
import { runsElsewhere } from './marks.ts';
import type { Run } from './run.ts';
import type { ProcessState, TrackedProcess } from './tracked-process.ts';

/** `created`: committed by this host since it was started, and not started yet. */
export type ContainerStatus = 'created' | 'running' | 'stopped';

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
  /** The main process first. If the container has ended, those of its last run in this host. */
  readonly processes: readonly ProcessState[];
}

export class Containers {
  readonly store: DefinitionStore;
  /** The last run of each container in this host. */
  readonly runs = new Map<ContainerId, Run>();
  /** Those with the status `created`. */
  readonly created = new Set<ContainerId>();
  readonly #runtime: ContainerRuntime;

  constructor(store: DefinitionStore, runtime: ContainerRuntime) {
    this.store = store;
    this.#runtime = runtime;
  }

  async statusOf(id: ContainerId): Promise<ContainerStatus> {
    if (this.runs.get(id)?.running === true || (await this.runsElsewhere(id))) return 'running';
    return this.created.has(id) ? 'created' : 'stopped';
  }

  /** Whether another host on this store runs it. */
  async runsElsewhere(id: ContainerId): Promise<boolean> {
    return await runsElsewhere(this.store.folderOf(id), () => this.#runtime.hostFolder());
  }

  /** @throws BabelhostError `notFound` */
  async find(id: string): Promise<Definition> {
    const definition = isContainerId(id) ? await this.store.find(id) : undefined;
    if (definition !== undefined) return definition;
    const shown = id.slice(0, 100);
    const message = `There is no container ${shown}: 'babelhost container list' lists those there are.`;
    throw new BabelhostError('notFound', message, { id: shown });
  }

  /**
   * The run of a container that runs in this host.
   * @throws BabelhostError `notFound`; `conflict`
   */
  async running(id: string): Promise<Run> {
    const definition = await this.find(id);
    const run = this.runs.get(definition.id);
    if (run?.running === true) return run;
    const message = `The container ${id} does not run: start it with a commit that sets its run state to running.`;
    throw new BabelhostError('conflict', message, { id, status: await this.statusOf(definition.id) });
  }

  /**
   * A process by its own id, or a container's main process by the container's.
   * @throws BabelhostError `notFound`; `conflict` if this host has not started the container
   */
  async process(id: string): Promise<TrackedProcess> {
    for (const run of this.runs.values()) {
      const process = run.processes.get(id);
      if (process !== undefined) return process;
    }
    const { id: container } = await this.find(id);
    const message = `The container ${container} has no process: it was not started.`;
    throw new BabelhostError('conflict', message, { id: container, status: await this.statusOf(container) });
  }

  /** The containers, oldest first, all or those of a status. */
  async list(wanted?: ContainerStatus): Promise<ContainerSummary[]> {
    const found: ContainerSummary[] = [];
    for (const id of await this.store.ids()) {
      const definition = await this.store.find(id);
      if (definition === undefined) continue;
      const { image, createdAt, entryPoint } = definition;
      const status = await this.statusOf(id);
      if (wanted === undefined || wanted === status)
        found.push({ id, image, status, createdAt, args: entryPoint.args });
    }
    return found;
  }

  /** @throws BabelhostError `notFound` */
  async state(anyId: string): Promise<ContainerState> {
    const { id } = await this.find(anyId);
    const processes = [...(this.runs.get(id)?.processes.values() ?? [])].map((process) => process.state);
    return { id, status: await this.statusOf(id), processes };
  }
}
