// Unpacks a whole image into a new folder, from blobs on this machine that may still be arriving.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError } from '../../base/errors.ts';
import type { ArrivingBlob } from '../arriving-blob.ts';
import { hexOf, type Digest } from '../digest.ts';
import type { LayerDescriptor } from '../documents.ts';
import type { OnProgress } from '../operation.ts';
import { openLayer, unpackLayer, type OpenLayer } from '../unpack/unpack-layer.ts';
import { Unpacker } from '../unpack/unpacker.ts';
import type { StoreSettings } from './core.ts';
import { LayerRecorder, replayLayer } from './layer-files.ts';
import { exists } from './layout.ts';
import type { ImageDocuments } from './stored-image.ts';

export interface UnpackOptions {
  readonly settings: StoreSettings;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** The image as messages name it. */
  readonly name: string;
  readonly blob: (layer: LayerDescriptor) => ArrivingBlob;
}

/**
 * Unpacks into `target`, which must not be there yet, and keeps the unpacked layers in `layers` beside it.
 * @returns where to move those in the store: from → to.
 * @throws what unpackLayer throws, and the file system's errors.
 */
export async function unpackImage(
  { manifest, document }: ImageDocuments,
  target: string,
  { settings, signal, onProgress, name, blob }: UnpackOptions,
): Promise<Map<string, string>> {
  const { owners, limits, logger } = settings;
  const work = path.dirname(target);
  const recorded = path.join(work, 'layers');
  const moves = new Map<string, string>();
  const layers = manifest.layers.map((layer, index) => ({
    layer,
    // As many diff ids as layers: checked when the documents were resolved.
    diffId: document.diffIds[index] as Digest,
    report: (done: number) => onProgress?.({ phase: 'unpack', layer: layer.digest, done, total: layer.size }),
  }));
  // The layer that is unpacked, and the next one that has to be, which is decompressed meanwhile.
  const opened = new Map<number, OpenLayer>();
  const open = (index: number, { layer, diffId, report }: (typeof layers)[number]) => {
    const known = opened.get(index);
    if (known !== undefined) return known;
    const { compression, size } = layer;
    const what = `Layer ${index + 1} of ${name}`;
    const opening = openLayer({ chunks: blob(layer).follow(), compression, size, diffId, what }, limits, report);
    opened.set(index, opening);
    return opening;
  };
  const openNext = (from: number) => {
    const next = layers.findIndex(
      ({ diffId }, index) =>
        index >= from &&
        document.diffIds.indexOf(diffId) === index &&
        !exists(path.join(settings.layout.layers, hexOf(diffId))),
    );
    const layer = layers[next];
    if (layer !== undefined) open(next, layer);
  };
  await mkdir(target, { mode: 0o700 });
  using unpacker = new Unpacker(target, path.join(work, 'removed'), owners, limits);
  try {
    for (const [index, current] of layers.entries()) {
      signal?.throwIfAborted();
      unpacker.beginLayer();
      openNext(index);
      const { layer, diffId, report } = current;
      const folder = path.join(recorded, hexOf(diffId));
      if (moves.has(folder)) await replayLayer(recorded, diffId, unpacker, owners, signal);
      else if (await replayLayer(settings.layout.layers, diffId, unpacker, owners, signal)) report(layer.size);
      else {
        const opening = open(index, current);
        openNext(index + 1);
        await mkdir(folder, { recursive: true, mode: 0o700 });
        using recorder = new LayerRecorder(folder, unpacker, owners);
        try {
          await unpackLayer(opening, recorder, { limits, signal });
        } catch (error) {
          // The fetch's failure explains the rest: what is invalid may not be what the digest names. Not so a limit.
          if (!(error instanceof BabelhostError && error.data['reason'] === 'limit')) await blob(layer).complete;
          throw error;
        }
        recorder.finish();
        moves.set(folder, path.join(settings.layout.layers, hexOf(diffId)));
      }
      opened.get(index)?.[Symbol.dispose]();
      opened.delete(index);
    }
  } finally {
    for (const layer of opened.values()) layer[Symbol.dispose]();
  }
  await unpacker.finish();
  const { devices, attributes, entries, bytes } = unpacker.tally;
  logger.debug({ image: name, entries, bytes }, 'unpacked');
  if (devices > 0) logger.info({ image: name, devices }, 'device nodes and FIFOs of the image were left out');
  if (attributes.size > 0) {
    const names = Object.fromEntries(attributes);
    logger.info({ image: name, attributes: names }, 'extended attributes of the image were left out');
  }
  return moves;
}
