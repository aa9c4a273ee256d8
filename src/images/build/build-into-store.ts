// Builds a recipe and enters the image into a store.
import path from 'node:path';
import { BabelhostError } from '../../base/errors.ts';
import { hexOf, type Digest } from '../digest.ts';
import { mediaTypes } from '../documents.ts';
import type { Platform } from '../platform.ts';
import type { OnProgress } from '../progress.ts';
import { formatName, formatReference, parseName, type Reference } from '../reference.ts';
import type { Credentials } from '../registry/settings.ts';
import { storageError } from '../storage-errors.ts';
import type { StoreCore } from '../store/core.ts';
import { readIndex, withImage, type IndexEntry } from '../store/index-file.ts';
import { storedImage, type StoredImage } from '../store/stored-image.ts';
import { writeLayout } from '../transports/write-layout.ts';
import { buildImage } from './build-image.ts';
import { readRecipe } from './recipe.ts';

export interface BuildOptions {
  /** Instead of the recipe's own name. */
  readonly name?: string | undefined;
  /** Instead of the recipe's, or this machine's. */
  readonly platform?: Platform | undefined;
  /** Where to write the image in place of the store: an `oci:` or `oci-archive:` reference. */
  readonly output?: Reference | undefined;
  /** For a base in a registry, instead of those that files have. Never logged or stored. */
  readonly credentials?: Credentials | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Builds the recipe in `folder`. In the store, its root file system is unpacked when the image is first used. */
export async function buildIntoStore(core: StoreCore, folder: string, options: BuildOptions): Promise<StoredImage> {
  const { signal, output } = options;
  if (output !== undefined && output.transport !== 'oci' && output.transport !== 'oci-archive') {
    throw new BabelhostError(
      'imageInvalid',
      `An image cannot be written to ${formatReference(output)} when it is built: write it to oci:DIR[:TAG] or oci-archive:FILE[:TAG], or push it afterwards.`,
      { reference: formatReference(output), reason: 'output' },
    );
  }
  const recipe = await readRecipe(path.resolve(folder));
  const named = options.name ?? recipe.name;
  const names = named === undefined ? [] : [formatName(parseName(named))];
  await using workspace = await core.session.workspace();
  const blobs = path.join(workspace.path, 'blobs');
  try {
    const built = await buildImage(core, path.resolve(folder), recipe, blobs, options);
    const parts = [built.digest, built.manifest.config.digest, ...built.manifest.layers.map(({ digest }) => digest)];
    const descriptor = { mediaType: mediaTypes.manifest, digest: built.digest, size: built.manifestBytes.length };
    const { platform } = built.document;
    const entry: IndexEntry = { digest: built.digest, size: descriptor.size, platform, names, annotations: {} };
    if (output !== undefined) {
      const image = {
        descriptor: { ...descriptor, platform },
        blobs: parts,
        blob: (part: Digest) => path.join(blobs, hexOf(part)),
      };
      await writeLayout(output, image, core.settings.limits.manifestBytes, signal);
      return storedImage(entry, built);
    }
    await using prepared = await core.session.prepareStoreLock();
    return await core.locked(
      async (changing) => {
        const entries = withImage(await readIndex(core.layout), entry, []);
        const moves = new Map(parts.map((part) => [path.join(blobs, hexOf(part)), core.blob(part)]));
        await core.commit({ entries, moves }, changing);
        return storedImage(entries.find(({ digest }) => digest === built.digest) ?? entry, built);
      },
      signal,
      prepared,
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw storageError(error, core.layout.root);
  }
}
