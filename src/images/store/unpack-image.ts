// Unpacks a whole image into a new folder, from blobs that are on this machine.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { hexOf } from '../digest.ts';
import type { ImageDocuments } from './stored-image.ts';
import type { ArrivingBlob } from '../arriving-blob.ts';
import { BabelhostError } from '../../base/errors.ts';
import { Unpacker } from '../unpack/unpacker.ts';
import { unpackLayer } from '../unpack/unpack-layer.ts';
import type { OnProgress } from '../progress.ts';
import type { StoreSettings } from './core.ts';
import { LayerRecorder, replayLayer } from './layer-files.ts';
import { OpenLayers } from './open-layers.ts';

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
  using unpacker = new Unpacker(target, path.join(path.dirname(target), 'removed'), owners, limits);
  const kept = path.join(path.dirname(target), 'layers');
  const layers = new Map<string, string>();
  using opened = new OpenLayers({ manifest, document }, settings.layout.layers, { name, limits, blob, onProgress });
  for (const [index, layer] of manifest.layers.entries()) {
    signal?.throwIfAborted();
    unpacker.beginLayer();
    const diffId = opened.diffId(index);
    opened.openNext(index);
    // The same layer twice in an image is kept from its first time on.
    const keep = path.join(kept, hexOf(diffId));
    if (layers.has(keep)) await replayLayer(kept, diffId, unpacker, owners, signal);
    else if (await replayLayer(settings.layout.layers, diffId, unpacker, owners, signal)) {
      opened.report(index, layer.size);
    } else {
      using recorder = await LayerRecorder.start(keep, unpacker, owners);
      const unpacking = opened.open(index);
      opened.openNext(index + 1);
      try {
        await unpackLayer(unpacking, recorder, { limits, signal });
      } catch (error) {
        // What is wrong in it may be so because it is not what its digest says: that is then the error. A limit that it
        // goes over is one whatever the rest of it is.
        if (!(error instanceof BabelhostError && error.data['reason'] === 'limit')) await blob(index).complete;
        throw error;
      }
      recorder.finish();
      layers.set(keep, path.join(settings.layout.layers, hexOf(diffId)));
    }
    opened.close(index);
  }
  await unpacker.finish();
  const { devices, attributes, entries, bytes } = unpacker.tally;
  logger.debug({ image: name, entries, bytes }, 'unpacked');
  if (devices > 0) logger.info({ image: name, devices }, 'device nodes and FIFOs of the image were left out');
  if (attributes.size > 0) {
    const names = Object.fromEntries(attributes);
    logger.info({ image: name, attributes: names }, 'extended attributes of the image were left out');
  }
  return layers;
}
