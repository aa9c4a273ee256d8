// Writes one layer of a build as a blob: archive, digest, compression, digest, as it streams by.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import path from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip, createZstdCompress } from 'node:zlib';
import { finish, hexOf, type Digest } from '../digest.ts';
import { mediaTypes, type Compression, type LayerDescriptor } from '../documents.ts';
import { writeTar, type WrittenEntry } from '../tar/writer.ts';

/** How many bytes go through at a time. */
const chunkSize = 256 * 1024;

/** gzip's fastest level: half as large again is nothing on one's own disk, ten times slower would be felt. */
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
  /** Told of the archive's bytes written. */
  readonly onBytes?: (done: number) => void;
}

/** Writes the entries into a new blob in `folder`, under its digest's hexadecimal digits. Not synced. */
export async function writeLayer(
  entries: readonly WrittenEntry[],
  folder: string,
  { compression, mtime, signal, onBytes }: WriteLayerOptions,
): Promise<WrittenLayer> {
  const archive = createHash('sha256');
  const blob = createHash('sha256');
  let archived = 0;
  let size = 0;
  const hashed = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      archive.update(chunk);
      archived += chunk.length;
      onBytes?.(archived);
      yield chunk;
    }
  };
  const counted = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      blob.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  const partial = path.join(folder, 'layer.partial');
  const target = createWriteStream(partial, { flags: 'wx', mode: 0o644 });
  const source = Readable.from(hashed(writeTar(entries, mtime)), { objectMode: false, highWaterMark: chunkSize });
  const given = signal === undefined ? {} : { signal };
  switch (compression) {
    case 'none':
      await pipeline(source, counted, target, given);
      break;
    case 'gzip':
      await pipeline(source, createGzip({ level: gzipLevel, chunkSize }), counted, target, given);
      break;
    case 'zstd': {
      const params = { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 };
      await pipeline(source, createZstdCompress({ params, chunkSize }), counted, target, given);
      break;
    }
  }
  const digest = finish(blob);
  await rename(partial, path.join(folder, hexOf(digest)));
  const types = { none: mediaTypes.layer, gzip: mediaTypes.layerGzip, zstd: mediaTypes.layerZstd };
  return {
    descriptor: { mediaType: types[compression], digest, size, compression },
    diffId: finish(archive),
  };
}
