// Takes out of a store what its index does not refer to. Called under the store's lock: nothing gets into blobs/, rootfs/
// or layers/ but under it, so what is unreferenced now is nobody's.
import { lstat, mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { messageOf } from '../../base/errors.ts';
import { hexOf, type Digest } from '../digest.ts';
import type { IndexEntry } from './index-file.ts';
import type { StoreLayout } from './layout.ts';
import { namesIn, type OnUnremoved } from './session.ts';
import type { DocumentCache } from './stored-image.ts';

/** What was taken out. */
export interface Collected {
  readonly digests: readonly Digest[];
  /** Bytes of blobs and layer files that nothing else refers to. */
  readonly bytes: number;
}

/**
 * Moves everything unreferenced into `trash` (a folder of the same file system, to be removed once the lock is let go):
 * a rename each, however large. A rootfs or layer with a lease stays until the last lease ends. What cannot be moved is
 * told, and stays unreferenced for the next time.
 * @throws BabelhostError `storageDirty` if an image of the index cannot be read: then nothing is taken out, as what that
 * image needs is not known.
 */
export async function collectUnreferenced(
  layout: StoreLayout,
  entries: readonly IndexEntry[],
  documents: DocumentCache,
  trash: string,
  onUnremoved: OnUnremoved,
): Promise<Collected> {
  const blobs = new Set<string>();
  const layers = new Set<string>();
  for (const { digest } of entries) {
    const { manifest, document } = await documents.read(digest);
    blobs.add(hexOf(digest)).add(hexOf(manifest.config.digest));
    for (const layer of manifest.layers) blobs.add(hexOf(layer.digest));
    for (const diffId of document.diffIds) layers.add(hexOf(diffId));
  }
  const leased = new Set(namesIn(layout.leases).map((name) => name.split('.')[0] ?? ''));
  const images = new Set(entries.map(({ digest }) => hexOf(digest)));

  const digests: Digest[] = [];
  let bytes = 0;
  const sweep = async (folder: string, wanted: (name: string) => boolean) => {
    const kind = path.basename(folder);
    for (const name of namesIn(folder)) {
      if (wanted(name)) continue;
      await mkdir(trash, { recursive: true, mode: 0o700 });
      const file = path.join(folder, name);
      const { size } = await lstat(file);
      try {
        await rename(file, path.join(trash, `${kind}-${name}`));
      } catch (error) {
        onUnremoved({ path: file, reasons: [messageOf(error)] });
        continue;
      }
      if (folder !== layout.blobs) continue;
      bytes += size;
      digests.push(`sha256:${name}` as Digest);
    }
  };
  await sweep(layout.blobs, (name) => blobs.has(name));
  await sweep(layout.rootfs, (name) => images.has(name) || leased.has(name));
  await sweep(layout.layers, (name) => layers.has(name) || leased.has(name));
  return { digests, bytes };
}
