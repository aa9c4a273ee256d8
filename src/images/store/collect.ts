// Takes what the index does not refer to out of a store, under the store's lock: nothing gets into blobs/, rootfs/ or
// layers/ without it, so what is unreferenced now is nobody's.
import { lstat, mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { messageOf } from '../../base/errors.ts';
import { hexOf, type Digest } from '../digest.ts';
import type { IndexEntry } from './index-file.ts';
import { namesIn, type StoreLayout } from './layout.ts';
import type { OnUnremoved } from './session.ts';
import { readDocuments } from './stored-image.ts';

/** What was taken out. */
export interface Collected {
  readonly digests: readonly Digest[];
  /** Bytes of the blobs. */
  readonly bytes: number;
}

/**
 * Moves everything unreferenced into `trash`, a folder of the same file system that is removed after the lock is released:
 * one rename each, however large. A rootfs or layer with a lease stays until the last lease ends.
 * @param onUnremoved - called with what cannot be moved, and stays for the next time.
 * @throws BabelhostError `storageDirty` if an image of the index cannot be read: as its needs are unknown, all stays.
 */
export async function collectUnreferenced(
  layout: StoreLayout,
  entries: readonly IndexEntry[],
  trash: string,
  onUnremoved: OnUnremoved,
): Promise<Collected> {
  const blobs = new Set<string>();
  const layers = new Set<string>();
  for (const { digest } of entries) {
    const { manifest, document } = await readDocuments(layout, digest);
    blobs.add(hexOf(digest)).add(hexOf(manifest.config.digest));
    for (const layer of manifest.layers) blobs.add(hexOf(layer.digest));
    for (const diffId of document.diffIds) layers.add(hexOf(diffId));
  }
  const leased = new Set((await namesIn(layout.leases)).map((name) => name.split('.')[0] ?? ''));
  const images = new Set(entries.map(({ digest }) => hexOf(digest)));

  const digests: Digest[] = [];
  let bytes = 0;
  const sweep = async (folder: string, wanted: (name: string) => boolean) => {
    const kind = path.basename(folder);
    for (const name of await namesIn(folder)) {
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
