// What is told of containers: a list of them, and the state of one with its processes.
import type { ContainerId } from '../id.ts';
import type { Containers, ContainerStatus } from './containers.ts';
import type { ProcessState } from './tracked-process.ts';

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

/** The containers, oldest first, all or those of a status. */
export async function listContainers(
  containers: Containers,
  status: ContainerStatus | undefined,
): Promise<ContainerSummary[]> {
  const found: ContainerSummary[] = [];
  for (const id of await containers.store.ids()) {
    const definition = await containers.store.find(id);
    if (definition === undefined) continue;
    const { image, createdAt, entryPoint } = definition;
    const summary = { id, image, status: await containers.statusOf(id), createdAt, args: entryPoint.args };
    if (status === undefined || status === summary.status) found.push(summary);
  }
  return found;
}

/** @throws BabelhostError `notFound` */
export async function stateOf(containers: Containers, id: string): Promise<ContainerState> {
  const definition = await containers.find(id);
  const processes = [...(containers.runs.get(definition.id)?.processes.values() ?? [])];
  return {
    id: definition.id,
    status: await containers.statusOf(definition.id),
    processes: processes.map((process) => process.state),
  };
}
