// The limits on what an image may make this machine do. Each is an option with a default, and each error names it.
import { BabelhostError } from '../base/errors.ts';

/** Limits on one image. Sizes in bytes. */
export interface ImageLimits {
  /** A manifest, an index or a registry's JSON answer. The distribution spec asks registries to take 4 MiB. */
  readonly manifestBytes: number;
  /** An image configuration. */
  readonly configBytes: number;
  /** Layers of one image. Docker and the kernel's overlay stop at about 128. */
  readonly layers: number;
  /** All compressed layers of one image together. */
  readonly compressedBytes: number;
  /** All files of one image unpacked, counted by their length, holes of sparse files included. */
  readonly unpackedBytes: number;
  /** Unpacked bytes for each compressed byte of a layer, once `ratioFreeBytes` have come out of it. */
  readonly ratio: number;
  /** What a layer may unpack to before `ratio` counts: small layers of zeros are common and harmless. */
  readonly ratioFreeBytes: number;
  /** Entries (files, directories, links, whiteouts) of all layers of one image, and folders without an entry. */
  readonly entries: number;
  /** The names of all entries of one image, their links and extended attributes, and the paths that they resolve to. */
  readonly nameBytes: number;
  /** The name of an entry, or the target of a link; the kernel's PATH_MAX by default. */
  readonly pathBytes: number;
  /** The extended headers (PAX, GNU long names) of one entry in a layer. */
  readonly extendedHeaderBytes: number;
  /** Images in the store. */
  readonly images: number;
}

export const defaultLimits: ImageLimits = {
  manifestBytes: 4 * 1024 ** 2,
  configBytes: 8 * 1024 ** 2,
  layers: 256,
  compressedBytes: 16 * 1024 ** 3,
  unpackedBytes: 32 * 1024 ** 3,
  ratio: 200,
  ratioFreeBytes: 128 * 1024 ** 2,
  entries: 2_000_000,
  nameBytes: 512 * 1024 ** 2,
  pathBytes: 4095,
  extendedHeaderBytes: 1024 ** 2,
  images: 10_000,
};

/** The error of an image that is over a limit: `imageInvalid`, with the limit and its value in the data. */
export function overLimit(limit: keyof ImageLimits, value: number, what: string, data: object = {}): BabelhostError {
  return new BabelhostError(
    'imageInvalid',
    `${what} is over the limit '${limit}' of ${value}: if you trust the image, raise it (--image-limit ${limit}=…).`,
    { ...data, reason: 'limit', limit, value },
  );
}

/** Refuses an image with too many layers, or too many compressed bytes in them. */
export function checkLayers(name: string, layers: number, bytes: number, limits: ImageLimits): void {
  if (layers > limits.layers) {
    throw overLimit('layers', limits.layers, `The number of layers of ${name}`, { actual: layers });
  }
  if (bytes > limits.compressedBytes) {
    throw overLimit('compressedBytes', limits.compressedBytes, `The size of ${name}`, { actual: bytes });
  }
}

/** Passes chunks on, and throws once there are more bytes than a limit allows; `what` begins the sentence. */
export async function* bounded(
  chunks: AsyncIterable<Buffer>,
  limit: 'compressedBytes' | 'unpackedBytes',
  limits: ImageLimits,
  what: string,
): AsyncGenerator<Buffer> {
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > limits[limit]) throw overLimit(limit, limits[limit], what);
    yield chunk;
  }
}
