// A commit: the order in which the changes that a handle recorded are made, so that all of them are or none.
import { BabelhostError, isBabelhostError } from '../../base/errors.ts';
import type { ContainerId } from '../id.ts';
import type { Containers, ContainerStatus } from './containers.ts';
import { copyIn, type CopiedFile } from './copy.ts';
import { checkEntryPoint, type Definition } from './definition.ts';
import { committedMeanwhile, type Staged } from './definition-store.ts';
import type { Handle, Handles } from './handle.ts';
import { changeLimits, type LifecycleLimits } from './limits.ts';
import { Run, type RunDependencies } from './run.ts';

export interface CommitDependencies extends RunDependencies {
  readonly containers: Containers;
  readonly handles: Handles;
}

export interface Committed {
  readonly id: ContainerId;
  readonly generation: number;
  readonly status: ContainerStatus;
  /** What was recorded and has no effect, or not yet, a sentence each. */
  readonly notes: readonly string[];
}

export const limitsNote =
  'The container runs: its limits were not changed. Stop it in the same commit, or before, to change them.';
const entryPointNote = 'The container runs: its entry point counts from its next start.';

/**
 * Makes all changes that were recorded in a handle, or none. One commit of a container at a time.
 * @throws BabelhostError `conflict` if another commit came after the handle was taken; `notFound`; the error that a change
 * failed with: the container is as before then
 */
export async function commitHandle(
  handle: Handle,
  dependencies: CommitDependencies,
  signal: AbortSignal,
): Promise<Committed> {
  const { containers, handles, limits } = dependencies;
  const { container: id, creates, files } = handle;
  const current = creates ?? (await containers.find(id));
  if (current.generation !== handle.generation) {
    handles.close(handle);
    throw committedMeanwhile(id);
  }
  const last = containers.runs.get(id);
  const running = last?.running === true ? last : undefined;
  if (running === undefined && creates === undefined && (await containers.runsElsewhere(id))) {
    const message = `Another babelhost on this store runs the container ${id}: change it there.`;
    throw new BabelhostError('conflict', message, { id });
  }
  const willRun = handle.runState === undefined ? running !== undefined : handle.runState === 'running';
  const goesOn = running !== undefined && willRun;
  const notes: string[] = [];
  if (goesOn && Object.keys(handle.limits).length > 0) notes.push(limitsNote);
  if (goesOn && Object.keys(handle.entryPoint).length > 0) notes.push(entryPointNote);
  checkFiles([...current.pending.map(({ size }) => size), ...files.map(({ content }) => content.length)], limits);
  const next: Definition = {
    ...current,
    generation: current.generation + 1,
    entryPoint: { ...current.entryPoint, ...handle.entryPoint },
    limits: goesOn ? current.limits : changeLimits(current.limits, handle.limits),
    pending: willRun ? [] : current.pending,
  };
  checkEntryPoint(next.entryPoint);
  const starts = willRun && !goesOn;
  const earlier = starts ? await containers.store.pendingFiles(current) : [];
  const staged = await containers.store.stage(next, willRun ? [] : files);
  try {
    if (starts) {
      await last?.ended;
      containers.runs.set(id, await startStaged(next, staged, [...earlier, ...files], dependencies, signal));
    } else {
      if (goesOn && files.length > 0) await copyIn(running, files, signal);
      // A stopped container cannot be started again as it was. So the definition is entered first, which can fail, and
      // the container is stopped after that, which cannot.
      await staged.enter();
      if (!willRun) await running?.stop(signal);
    }
  } catch (error) {
    await staged.abandon();
    if (isBabelhostError(error, 'conflict')) handles.close(handle);
    throw error;
  }
  handles.close(handle);
  if (creates !== undefined) containers.created.add(id);
  if (starts) containers.created.delete(id);
  return { id, generation: next.generation, status: willRun ? 'running' : await containers.statusOf(id), notes };
}

/** Starts a container and enters its definition, or neither. */
async function startStaged(
  definition: Definition,
  staged: Staged,
  files: readonly CopiedFile[],
  dependencies: CommitDependencies,
  signal: AbortSignal,
): Promise<Run> {
  const run = await Run.start(definition, staged.folder, files, dependencies, signal);
  try {
    await staged.enter();
    return run;
  } catch (error) {
    await run.container.kill();
    await run.ended;
    throw error;
  }
}

/** @throws BabelhostError `contentTooLarge` if files to be copied, by their sizes, exceed a limit */
export function checkFiles(sizes: readonly number[], { copyBytes, copyFiles }: LifecycleLimits): void {
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
