// Whom a store's files are open to. All that is made in a store is its owner's alone; what others may read of a store that
// is open to everyone is opened here, and closed again where it was open before, as stores of earlier versions were.
import { chmodSync, lstatSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { systemErrorCode } from '../../base/errors.ts';
import type { StoreAccess, StoreLayout } from './layout.ts';

/** What others need to read images as an image layout has them, and an unpacked one, with the rights that it takes. */
const shared: readonly (readonly [name: string, rights: number])[] = [
  ['oci-layout', 0o044],
  ['index.json', 0o044],
  ['drivers.json', 0o044],
  ['blobs', 0o011],
  ['blobs/sha256', 0o011],
  ['rootfs', 0o011],
];

/** All that lies in a root. One that has more is a folder that somebody has for other things, too. */
const known: readonly string[] = [
  ...shared.map(([name]) => name),
  ...['lock', 'layers', 'leases', 'sessions', 'tmp', 'containers', 'container-definitions', 'catalogue.toml'],
];

/** Gives a store that is this user's the rights that its access says. */
export function applyAccess({ root, access }: StoreLayout): void {
  const { mode, uid } = statSync(root);
  if (uid !== process.geteuid?.()) return;
  // Nobody else gets to what is in it.
  if (access === 'owner' && (mode & 0o077) === 0) return;
  const changes = shared.flatMap(([name, rights]) => changeOf(path.join(root, name), rights, access));
  // A folder that was there before the store, or is not the store's alone, keeps the mode that somebody gave it.
  const isOpened = access === 'everyone' || changes.length > 0;
  if (isOpened && readdirSync(root).every((name) => known.includes(name))) {
    chmodSync(root, withRights(mode, 0o011, access));
  }
  for (const [file, changed] of changes) chmodSync(file, changed);
}

/** The mode that a file of this user's is to have, if it is another than it has. */
function changeOf(file: string, rights: number, access: StoreAccess): [file: string, mode: number][] {
  try {
    const status = lstatSync(file);
    // What a link leads to is not in the store.
    if (status.isSymbolicLink() || status.uid !== process.geteuid?.()) return [];
    const changed = withRights(status.mode, rights, access);
    return changed === (status.mode & 0o7777) ? [] : [[file, changed]];
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

function withRights(mode: number, rights: number, access: StoreAccess): number {
  return access === 'everyone' ? (mode & 0o7777) | rights : mode & 0o7700;
}
