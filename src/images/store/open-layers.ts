// Which layers of an image are being decompressed: the one that is unpacked, and the next one that has to be.
import path from 'node:path';
import type { ArrivingBlob } from '../arriving-blob.ts';
import { hexOf, type Digest } from '../digest.ts';
import { exists } from '../exists.ts';
import type { ImageLimits } from '../limits.ts';
import type { OnProgress } from '../progress.ts';
import { openLayer, type OpenLayer } from '../unpack/unpack-layer.ts';
import type { ImageDocuments } from './stored-image.ts';

export interface OpenLayersOptions {
  /** The image as messages name it. */
  readonly name: string;
  readonly limits: ImageLimits;
  /** Gives a layer's blob, which may still be on its way. */
  readonly blob: (layer: number) => ArrivingBlob;
  readonly onProgress?: OnProgress | undefined;
}

/** The layers of one image, opened in their order, each once. */
export class OpenLayers implements Disposable {
  readonly #documents: ImageDocuments;
  readonly #kept: string;
  readonly #options: OpenLayersOptions;
  readonly #open = new Map<number, OpenLayer>();

  /** @param kept - the folder with what layers unpacked to before. */
  constructor(documents: ImageDocuments, kept: string, options: OpenLayersOptions) {
    this.#documents = documents;
    this.#kept = kept;
    this.#options = options;
  }

  diffId(index: number): Digest {
    // As many diff ids as layers: checked when the documents were resolved.
    return this.#documents.document.diffIds[index] as Digest;
  }

  /** Says that a layer's bytes were read, as far as `done`. */
  report(index: number, done: number): void {
    const layer = this.#documents.manifest.layers[index];
    if (layer === undefined) throw new RangeError(`There is no layer ${index}.`);
    this.#options.onProgress?.({ phase: 'unpack', layer: layer.digest, done, total: layer.size });
  }

  open(index: number): OpenLayer {
    const known = this.#open.get(index);
    if (known !== undefined) return known;
    const layer = this.#documents.manifest.layers[index];
    if (layer === undefined) throw new RangeError(`There is no layer ${index}.`);
    const { name, blob, limits } = this.#options;
    const opened = openLayer(
      {
        chunks: blob(index).follow(),
        compression: layer.compression,
        size: layer.size,
        diffId: this.diffId(index),
        what: `Layer ${index + 1} of ${name}`,
      },
      limits,
      (done) => {
        this.report(index, done);
      },
    );
    this.#open.set(index, opened);
    return opened;
  }

  /** Opens the first layer from `index` on that nothing is kept of, so that it is decompressed meanwhile. */
  openNext(index: number): void {
    const { diffIds } = this.#documents.document;
    for (let next = index; next < diffIds.length; next += 1) {
      const diffId = this.diffId(next);
      // Whether what is kept is of use turns out when its turn comes; one that comes again is kept from the first time on.
      if (diffIds.indexOf(diffId) < next || exists(path.join(this.#kept, hexOf(diffId)))) continue;
      this.open(next);
      return;
    }
  }

  /** Lets go of a layer that is unpacked, or of one that does not need to be. */
  close(index: number): void {
    this.#open.get(index)?.[Symbol.dispose]();
    this.#open.delete(index);
  }

  [Symbol.dispose](): void {
    for (const index of [...this.#open.keys()]) this.close(index);
  }
}
