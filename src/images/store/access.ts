// The modes of a store's files. All is made for its owner only; what others may read of a store that is open to everyone is
// opened here, and closed again in stores that were open before, as those of earlier versions were.
import { chmodSync, lstatSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { systemErrorCode } from '../../base/errors.ts';
import type { StoreAccess, StoreLayout } from './layout.ts';

/** What others need to read the image layout and unpacked images, with the mode bits that it takes. */
const shared: readonly (readonly [name: string, rights: number])[] = [
  ['oci-layout', 0o044],
  ['index.json', 0o044],
  ['drivers.json', 0o044],
  ['blobs', 0o011],
  ['blobs/sha256', 0o011],
  ['rootfs', 0o011],
];

/** All that a store has in its root. A root with more in it is used for other things too. */
const known: readonly string[] = [
  ...shared.map(([name]) => name),
  ...['lock', 'layers', 'leases', 'sessions', 'tmp', 'containers', 'container-definitions', 'catalogue.toml'],
];

/** Sets the modes of a store that belongs to this user. */
export function applyAccess({ root, access }: StoreLayout): void {
  const { mode, uid } = statSync(root);
  if (uid !== process.geteuid?.()) return;
  // Closed already, with all that is in it.
  if (access === 'owner' && (mode & 0o077) === 0) return;
  const changes = shared.flatMap(([name, rights]) => changeOf(path.join(root, name), rights, access));
  // A folder that was there before the store, or has more in it, keeps its mode.
  const isOpened = access === 'everyone' || changes.length > 0;
  if (isOpened && readdirSync(root).every((name) => known.includes(name))) {
    chmodSync(root, withRights(mode, 0o011, access));
  }
  for (const [file, changed] of changes) chmodSync(file, changed);
}

/** The mode to give to a file of this user, if it has another. */
function changeOf(file: string, rights: number, access: StoreAccess): [file: string, mode: number][] {
  try {
    const status = lstatSync(file);
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
