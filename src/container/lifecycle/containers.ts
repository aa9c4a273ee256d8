// The containers of a store as this host has them: what they are defined by, and their runs in this host's time.
import path from 'node:path';
import { BabelhostError } from '../../base/errors.ts';
import { isContainerId, type ContainerId } from '../id.ts';
import type { ContainerRuntime } from '../runtime.ts';
import type { Definition } from './definition.ts';
import type { DefinitionStore } from './definition-store.ts';
import { namesIn } from './folder.ts';
import type { Run } from './run.ts';
import { RunningMark } from './running-mark.ts';
import type { TrackedProcess } from './tracked-process.ts';

/** `created`: committed in this host's time and never started since. */
export type ContainerStatus = 'created' | 'running' | 'stopped';

export class Containers {
  readonly store: DefinitionStore;
  /** The last run of each container in this host's time. */
  readonly runs = new Map<ContainerId, Run>();
  /** Created in this host's time. */
  readonly created = new Set<ContainerId>();
  readonly #runtime: ContainerRuntime;

  constructor(store: DefinitionStore, runtime: ContainerRuntime) {
    this.store = store;
    this.#runtime = runtime;
  }

  /** Whether it runs, here or elsewhere. */
  async statusOf(id: ContainerId): Promise<ContainerStatus> {
    if (this.runs.get(id)?.running === true || (await this.runsElsewhere(id))) return 'running';
    return this.created.has(id) ? 'created' : 'stopped';
  }

  /** @throws BabelhostError `notFound` */
  async find(id: string): Promise<Definition> {
    const definition = isContainerId(id) ? await this.store.find(id) : undefined;
    if (definition !== undefined) return definition;
    const shown = id.slice(0, 100);
    throw new BabelhostError(
      'notFound',
      `There is no container ${shown}: 'babelhost container list' lists those there are.`,
      { id: shown },
    );
  }

  /**
   * The run of a container that runs in this host.
   * @throws BabelhostError `notFound`; `conflict`
   */
  async running(id: string): Promise<Run> {
    const definition = await this.find(id);
    const run = this.runs.get(definition.id);
    if (run?.running === true) return run;
    throw new BabelhostError(
      'conflict',
      `The container ${id} does not run: start it with a commit that sets its run state to running.`,
      { id, status: await this.statusOf(definition.id) },
    );
  }

  /** Whether another host on this store runs it. */
  async runsElsewhere(id: ContainerId): Promise<boolean> {
    const folder = this.store.folderOf(id);
    if ((await RunningMark.holders(folder)).length === 0) return false;
    // Starting our own guard removes what dead hosts have left; whose folder is there after that lives.
    const own = await this.#runtime.hostFolder();
    const hosts = await namesIn(path.dirname(own));
    const holders = await RunningMark.holders(folder);
    return holders.some((name) => name !== path.basename(own) && hosts.includes(name));
  }

  /**
   * A process by its own id, or a container's main process by the container's.
   * @throws BabelhostError `notFound`; `conflict` if the container was not started
   */
  async process(id: string): Promise<TrackedProcess> {
    for (const run of this.runs.values()) {
      const process = run.processes.get(id);
      if (process !== undefined) return process;
    }
    // A container that has not been started in this host's time is known, its process is not.
    const { id: container } = await this.find(id);
    throw new BabelhostError('conflict', `The container ${container} has no process: it was not started.`, {
      id: container,
      status: await this.statusOf(container),
    });
  }
}
