// A commit: the order in which what a handle recorded is done, so that all of it is done or nothing.
import { BabelhostError } from '../../base/errors.ts';
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
  /** What was recorded and has no effect yet, or none at all, a sentence each. */
  readonly notes: readonly string[];
}

export const limitsNote =
  'The container runs: its limits were not changed. Stop it in the same commit, or before, to change them.';
const entryPointNote = 'The container runs: its entry point counts from its next start.';

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

/**
 * Does all that was recorded in a handle, or nothing. One commit of a container at a time.
 * @throws BabelhostError `conflict` if another commit came after the handle was taken; `notFound`; whatever kept it from
 * being done: the container is as before then
 */
export async function commitHandle(
  handle: Handle,
  dependencies: CommitDependencies,
  signal: AbortSignal,
): Promise<Committed> {
  const { containers, handles } = dependencies;
  const { container: id, creates } = handle;
  const current = creates ?? (await containers.find(id));
  const previous = containers.runs.get(id);
  const runs = previous?.running === true;
  const willRun = handle.runState === undefined ? runs : handle.runState === 'running';
  const notes: string[] = [];
  if (current.generation !== handle.generation) {
    handles.close(handle);
    throw committedMeanwhile(id);
  }
  if (!runs && creates === undefined && (await containers.runsElsewhere(id))) {
    const message = `Another babelhost on this store runs the container ${id}: change it there.`;
    throw new BabelhostError('conflict', message, { id });
  }
  if (runs && willRun && Object.keys(handle.limits).length > 0) notes.push(limitsNote);
  if (runs && willRun && Object.keys(handle.entryPoint).length > 0) notes.push(entryPointNote);
  const pending = [...current.pending];
  checkFiles(
    [...pending.map(({ size }) => size), ...handle.files.map(({ content }) => content.length)],
    dependencies.limits,
  );
  const starts = willRun && !runs;
  const next: Definition = {
    ...current,
    generation: current.generation + 1,
    entryPoint: { ...current.entryPoint, ...handle.entryPoint },
    limits: runs && willRun ? current.limits : changeLimits(current.limits, handle.limits),
    pending: willRun ? [] : pending,
  };
  checkEntryPoint(next.entryPoint);
  const earlier = starts ? await containers.store.pendingFiles(current) : [];
  const staged = await containers.store.stage(next, willRun ? [] : handle.files);
  try {
    await carryOut(next, staged, { handle, earlier, starts, runs, willRun, previous }, dependencies, signal);
  } catch (error) {
    await staged.abandon();
    if (error instanceof BabelhostError && error.kind === 'conflict') handles.close(handle);
    throw error;
  }
  handles.close(handle);
  if (creates !== undefined) containers.created.add(id);
  if (starts) containers.created.delete(id);
  return { id, generation: next.generation, status: willRun ? 'running' : await containers.statusOf(id), notes };
}

/** Brings the container into its new state, and enters the definition as the last step. */
async function carryOut(
  next: Definition,
  staged: Staged,
  step: Step,
  dependencies: CommitDependencies,
  signal: AbortSignal,
): Promise<void> {
  const { handle, earlier, starts, runs, willRun, previous } = step;
  if (starts) {
    await previous?.ended;
    const files = [...earlier, ...handle.files];
    const run = await Run.start(next, staged.folder, files, dependencies, signal);
    try {
      await staged.enter();
    } catch (error) {
      await run.container.kill();
      await run.ended;
      throw error;
    }
    dependencies.containers.runs.set(next.id, run);
    return;
  }
  if (runs && willRun && previous !== undefined && handle.files.length > 0) {
    const { user } = previous.definition.entryPoint;
    await copyIn(previous.container, user, handle.files, dependencies.limits, signal);
  }
  // A container that is stopped cannot be started again as it was: so the definition is entered first, which can
  // fail, and the stopping, which cannot, comes after.
  await staged.enter();
  if (runs && !willRun) await previous?.stop(signal);
}

/**
 * Holds files that are to be copied to their limits.
 * @throws BabelhostError `contentTooLarge`
 */
export function checkFiles(sizes: readonly number[], limits: LifecycleLimits): void {
  const { copyBytes, copyFiles } = limits;
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
