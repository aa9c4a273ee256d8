// What could not be removed from a store, and how to mend that: `doctor`'s part about a root folder. It opens the store as a
// host does, which tries the removal again.
import { lstatSync } from 'node:fs';
import path from 'node:path';
import { ContainerRegistry, ContainerRuntime, type Finding } from './container/index.ts';
import { messageOf } from './base/errors.ts';
import { ImageStore } from './images/index.ts';
import type { Unremoved } from './base/remove-tree.ts';
import { shellWord } from './base/shell-word.ts';

/** How long to wait for a busy store, in milliseconds. */
const lockTimeoutMs = 10_000;

/** The most leftovers that are listed; there may be one for each container that was destroyed. */
const mostListed = 20;

/**
 * Examines the store at `root`, without making one.
 * @param runtime the runtime that hosts are to use
 */
export async function examineStore(root: string, runtime = 'runc'): Promise<Finding[]> {
  const name = 'store';
  try {
    if (lstatSync(path.join(root, 'oci-layout'), { throwIfNoEntry: false }) === undefined) {
      return [{ name, state: 'ok', found: `none yet at ${root}` }];
    }
    const unremoved = await openStore(root, runtime);
    const more = unremoved.length - mostListed;
    return [
      { name, state: 'ok', found: root },
      ...unremoved.slice(0, mostListed).map(leftover),
      ...(more > 0 ? [{ name: 'leftover', state: 'weaker', found: `${more} more in ${root}` } as const] : []),
    ];
  } catch (error) {
    return [{ name, state: 'missing', found: `${root} cannot be opened: ${messageOf(error)}` }];
  }
}

/** Opens a store, which removes what can be removed. Returns the rest. */
async function openStore(root: string, runtimeName: string): Promise<Unremoved[]> {
  await using runtime = await ContainerRuntime.open({ directory: path.join(root, 'containers'), runtime: runtimeName });
  await using store = await ImageStore.open(root, { owners: runtime.owners, lockTimeoutMs });
  await using containers = await ContainerRegistry.open({
    folder: path.join(root, 'container-definitions'),
    runtime,
    roots: { lease: () => Promise.reject(new Error('no container is started here')) },
  });
  return [...store.unremoved, ...containers.unremoved];
}

function leftover({ path: left, reasons }: Unremoved): Finding {
  const [first = '', ...others] = reasons;
  const more = others.length > 0 ? `, and ${others.length} more such` : '';
  const found = `${left}, tried again at every start: ${first}${more}`;
  const finding = { name: 'leftover', state: 'weaker' } as const;
  const has = (...codes: string[]) => codes.some((code) => reasons.some((reason) => reason.includes(code)));
  // A container chose the names in it: none of them is part of a command.
  if (has('EPERM')) return { ...finding, found, mend: `sudo chattr -R -i -a ${shellWord(left)}` };
  if (has('EBUSY', 'EXDEV')) return { ...finding, found: `${found}. Unmount what is mounted in it` };
  return { ...finding, found };
}
