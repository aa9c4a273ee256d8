// Unpacks a whole image into a new folder, from blobs that are on this machine.
import { mkdir } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import type { Digest } from '../digest.ts';
import type { ImageDocuments } from './stored-image.ts';
import { Unpacker } from '../unpack/unpacker.ts';
import { unpackLayer } from '../unpack/unpack-layer.ts';
import type { OnProgress } from '../progress.ts';
import type { StoreSettings } from './core.ts';

export interface UnpackOptions {
  readonly settings: StoreSettings;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** The image as messages name it. */
  readonly name: string;
  /** Gives a layer's blob once it is there: layers may still be on their way while the ones below are unpacked. */
  readonly blob: (layer: number) => Promise<string>;
}

/**
 * Unpacks into `target`, which must not be there yet.
 * @throws what unpackLayer throws, and the file system's errors.
 */
export async function unpackImage(
  { manifest, document }: ImageDocuments,
  target: string,
  { settings, signal, onProgress, name, blob }: UnpackOptions,
): Promise<void> {
  const { owners, limits, logger } = settings;
  await mkdir(target, { mode: 0o700 });
  using unpacker = new Unpacker(target, owners, limits);
  for (const [index, layer] of manifest.layers.entries()) {
    const file = await blob(index);
    signal?.throwIfAborted();
    unpacker.beginLayer();
    await unpackLayer(
      {
        file,
        compression: layer.compression,
        size: layer.size,
        // As many diff ids as layers: checked when the documents were resolved.
        diffId: document.diffIds[index] as Digest,
        what: `Layer ${index + 1} of ${name}`,
      },
      unpacker,
      {
        limits,
        signal,
        onBytes: (done) => onProgress?.({ phase: 'unpack', layer: layer.digest, done, total: layer.size }),
      },
    );
    await setImmediate();
  }
  unpacker.finish();
  const { devices, attributes, entries, bytes } = unpacker.notes;
  logger.debug({ image: name, entries, bytes }, 'unpacked');
  if (devices > 0) logger.info({ image: name, devices }, 'device nodes and FIFOs of the image were left out');
  if (attributes > 0) {
    logger.debug({ image: name, attributes }, 'extended attributes of the image were left out');
  }
}
