// Writes one layer of a build as a blob: archives, compresses, and takes both digests.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip, createZstdCompress } from 'node:zlib';
import { finish, hexOf, type Digest } from '../digest.ts';
import { mediaTypes, type Compression, type LayerDescriptor } from '../documents.ts';
import { writeTar, type WrittenEntry } from '../tar/writer.ts';

/** Bytes at a time. */
const chunkSize = 256 * 1024;

/** The fastest: the best makes layers a third smaller, in ten times the time. */
const gzipLevel = 1;

export interface WrittenLayer {
  readonly descriptor: LayerDescriptor;
  /** Of the uncompressed archive. */
  readonly diffId: Digest;
}

export interface WriteLayerOptions {
  readonly compression: Compression;
  /** Of every entry, in seconds. */
  readonly mtime: number;
  readonly signal?: AbortSignal | undefined;
}

/** Writes the entries into a new blob in `folder`, under its digest's hexadecimal digits. Not synced. */
export async function writeLayer(
  entries: readonly WrittenEntry[],
  folder: string,
  { compression, mtime, signal }: WriteLayerOptions,
): Promise<WrittenLayer> {
  const archive = createHash('sha256');
  const blob = createHash('sha256');
  let size = 0;
  const hashed = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      archive.update(chunk);
      yield chunk;
    }
  };
  const counted = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      blob.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  };
  const partial = path.join(folder, 'layer.partial');
  const compressor = {
    none: () => new PassThrough(),
    gzip: () => createGzip({ level: gzipLevel, chunkSize }),
    zstd: () =>
      createZstdCompress({
        params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 },
        chunkSize,
      }),
  };
  await pipeline(
    Readable.from(hashed(writeTar(entries, mtime)), { objectMode: false, highWaterMark: chunkSize }),
    compressor[compression](),
    counted,
    createWriteStream(partial, { flags: 'wx', mode: 0o644 }),
    signal === undefined ? {} : { signal },
  );
  const digest = finish(blob);
  await rename(partial, path.join(folder, hexOf(digest)));
  const types = { none: mediaTypes.layer, gzip: mediaTypes.layerGzip, zstd: mediaTypes.layerZstd };
  return {
    descriptor: { mediaType: types[compression], digest, size, compression },
    diffId: finish(archive),
  };
}
