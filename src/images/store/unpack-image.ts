// Unpacks a whole image into a new folder, from blobs that are on this machine.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { hexOf, type Digest } from '../digest.ts';
import type { ImageDocuments } from './stored-image.ts';
import type { ArrivingBlob } from '../arriving-blob.ts';
import { BabelhostError } from '../../errors.ts';
import { Unpacker } from '../unpack/unpacker.ts';
import { unpackLayer } from '../unpack/unpack-layer.ts';
import type { OnProgress } from '../progress.ts';
import type { StoreSettings } from './core.ts';
import { LayerRecorder, replayLayer } from './layer-files.ts';

export interface UnpackOptions {
  readonly settings: StoreSettings;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** The image as messages name it. */
  readonly name: string;
  /** Gives a layer's blob, which may still be on its way. */
  readonly blob: (layer: number) => ArrivingBlob;
}

/**
 * Unpacks into `target`, which must not be there yet; what the layers unpacked to is kept in `layers` beside it.
 * @returns where that should be moved in the store: from → to.
 * @throws what unpackLayer throws, and the file system's errors.
 */
export async function unpackImage(
  { manifest, document }: ImageDocuments,
  target: string,
  { settings, signal, onProgress, name, blob }: UnpackOptions,
): Promise<Map<string, string>> {
  const { owners, limits, logger } = settings;
  await mkdir(target, { mode: 0o700 });
  using unpacker = new Unpacker(target, owners, limits);
  const kept = path.join(path.dirname(target), 'layers');
  const layers = new Map<string, string>();
  for (const [index, layer] of manifest.layers.entries()) {
    signal?.throwIfAborted();
    unpacker.beginLayer();
    // As many diff ids as layers: checked when the documents were resolved.
    const diffId = document.diffIds[index] as Digest;
    const onBytes = (done: number) => onProgress?.({ phase: 'unpack', layer: layer.digest, done, total: layer.size });
    // The same layer twice in an image is kept from its first time on.
    const keep = path.join(kept, hexOf(diffId));
    if (layers.has(keep)) await replayLayer(kept, diffId, unpacker, owners, signal);
    else if (await replayLayer(settings.layout.layers, diffId, unpacker, owners, signal)) onBytes(layer.size);
    else {
      using recorder = await LayerRecorder.start(keep, unpacker, owners);
      const what = `Layer ${index + 1} of ${name}`;
      const arriving = blob(index);
      const layerBlob = { chunks: arriving.follow(), compression: layer.compression, size: layer.size, diffId, what };
      try {
        await unpackLayer(layerBlob, recorder, { limits, signal, onBytes });
      } catch (error) {
        // What is wrong in it may be so because it is not what its digest says: that is then the error. A limit that it
        // goes over is one whatever the rest of it is.
        if (!(error instanceof BabelhostError && error.data['reason'] === 'limit')) await arriving.complete;
        throw error;
      }
      recorder.finish();
      layers.set(keep, path.join(settings.layout.layers, hexOf(diffId)));
    }
  }
  unpacker.finish();
  const { devices, attributes, entries, bytes } = unpacker.notes;
  logger.debug({ image: name, entries, bytes }, 'unpacked');
  if (devices > 0) logger.info({ image: name, devices }, 'device nodes and FIFOs of the image were left out');
  if (attributes.size > 0) {
    const names = Object.fromEntries(attributes);
    logger.info({ image: name, attributes: names }, 'extended attributes of the image were left out');
  }
  return layers;
}
