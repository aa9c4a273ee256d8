// Removing the folders of containers, whose layers may have files of containers' own ids.
import { messageOf } from '../../base/errors.ts';
import { removeTree, unremovedOf, type Unremoved } from '../../base/remove-tree.ts';
import type { ContainerRuntime } from '../runtime.ts';

/**
 * Removes a folder as removeTree does; as an ordinary user, what is left then as the containers' root, who may own it.
 * @returns what is left after that
 */
export async function removeInGuard(runtime: ContainerRuntime, folder: string): Promise<Unremoved | undefined> {
  const left = await removeTree(folder);
  if (left === undefined || runtime.owners.kind === 'mapped') return left;
  try {
    const { status, complaint } = await runtime.runBeside(['remove', folder]);
    return unremovedOf(folder, status, complaint);
  } catch (error) {
    return { path: folder, reasons: [messageOf(error)] };
  }
}
