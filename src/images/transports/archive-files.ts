// The files in a tar archive of an image, found without unpacking it: images are read out of their archives' order.
import { createReadStream, createWriteStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import path from 'node:path';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { readRegularFile } from '../../base/regular-file.ts';
import { bounded, type ImageLimits } from '../limits.ts';
import { ArchiveError, type TarEntry } from '../tar/entry.ts';
import { blockSize } from '../tar/header.ts';
import { TarReader } from '../tar/reader.ts';
import { compressionOf, decompress } from '../unpack/decompress.ts';
import { components } from '../unpack/root-directory.ts';

/** How many bytes of a file are read at a time. */
const readSize = 256 * 1024;

/** An archive of an image has a few entries for each layer. */
const entriesLimit = 100_000;

interface Place {
  readonly offset: number;
  readonly size: number;
}

/** A tar archive of files, open for reading. */
export class ArchiveFiles {
  readonly #path: string;
  readonly #places: ReadonlyMap<string, Place>;

  private constructor(file: string, places: ReadonlyMap<string, Place>) {
    this.#path = file;
    this.#places = places;
  }

  /**
   * Opens the archive `file`; a compressed one is first unpacked into the folder `work`.
   * @param name - the reference, for messages.
   * @throws BabelhostError `imageNotFound` if there is no such file, `imageInvalid` if it is no archive.
   */
  static async open(
    file: string,
    name: string,
    work: string,
    limits: ImageLimits,
    signal?: AbortSignal,
  ): Promise<ArchiveFiles> {
    try {
      const plain = await decompressed(file, name, work, limits, signal);
      return new ArchiveFiles(plain, await scan(plain, limits, signal));
    } catch (error) {
      signal?.throwIfAborted();
      const code = systemErrorCode(error);
      if (code === 'ENOENT') {
        throw new BabelhostError(
          'imageNotFound',
          `There is no archive at ${file}.`,
          { reference: name, path: file },
          { cause: error },
        );
      }
      if (error instanceof ArchiveError || (code !== undefined && /^(?:Z_|ZSTD_)/.test(code))) {
        throw new BabelhostError(
          'imageInvalid',
          `The archive ${file} cannot be read: ${messageOf(error)}.`,
          { reference: name, path: file, reason: messageOf(error) },
          { cause: error },
        );
      }
      throw error;
    }
  }

  /** Bytes of a file, or undefined if it is not in the archive. */
  size(file: string): number | undefined {
    return this.#places.get(file)?.size;
  }

  /** A whole file, cut one byte after `limit`; undefined if it is not in the archive. */
  async read(file: string, limit: number): Promise<Buffer | undefined> {
    const place = this.#places.get(file);
    if (place === undefined) return undefined;
    await using handle = await open(this.#path, 'r');
    const length = Math.min(place.size, limit + 1);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, place.offset);
    return buffer.subarray(0, bytesRead);
  }

  /** A file's bytes; undefined if it is not in the archive. */
  stream(file: string, signal?: AbortSignal): AsyncIterable<Buffer> | undefined {
    const place = this.#places.get(file);
    if (place === undefined) return undefined;
    if (place.size === 0) return nothing();
    return createReadStream(this.#path, {
      start: place.offset,
      end: place.offset + place.size - 1,
      highWaterMark: readSize,
      ...(signal === undefined ? {} : { signal }),
    });
  }
}

// eslint-disable-next-line @typescript-eslint/require-await, require-yield -- an empty iterable of the right type
async function* nothing(): AsyncGenerator<Buffer> {
  return;
}

/** The archive itself, or an unpacked copy of it if it is compressed as a whole. */
async function decompressed(
  file: string,
  name: string,
  work: string,
  limits: ImageLimits,
  signal: AbortSignal | undefined,
): Promise<string> {
  const begin = await readRegularFile(file, 3);
  const compression = compressionOf(begin);
  if (compression === 'none') return file;
  const copy = path.join(work, 'archive.tar');
  await pipeline(
    createReadStream(file),
    (chunks: AsyncIterable<Buffer>) =>
      bounded(decompress(chunks, compression, readSize, limits), 'compressedBytes', limits, `The archive in ${name}`),
    createWriteStream(copy, { flags: 'wx' }),
    signal === undefined ? {} : { signal },
  );
  return copy;
}

/** Reads the headers of an archive, and skips the data of files. */
async function scan(file: string, limits: ImageLimits, signal: AbortSignal | undefined): Promise<Map<string, Place>> {
  const places = new Map<string, Place>();
  const links = new Map<string, string>();
  let current: TarEntry | undefined;
  let entries = 0;
  const { size: total } = await stat(file);
  const handle = await open(file, 'r');
  try {
    const buffer = Buffer.alloc(blockSize);
    const reader = new TarReader(
      {
        entry: (entry) => {
          entries += 1;
          if (entries > entriesLimit) throw new ArchiveError(`it has more than ${entriesLimit} entries`);
          current = entry;
        },
        data: () => undefined,
        end: () => undefined,
      },
      limits,
    );
    let offset = 0;
    while (offset < total) {
      signal?.throwIfAborted();
      // A header at a time, so that the place of its data is known, and that need not be read.
      const { bytesRead } = await handle.read(buffer, 0, blockSize, offset);
      if (bytesRead === 0) break;
      offset += bytesRead;
      reader.write(buffer.subarray(0, bytesRead));
      if (current === undefined) continue;
      const entry: TarEntry = current;
      current = undefined;
      const name = components(entry.name).join('/');
      if (entry.kind === 'symbolicLink' || entry.kind === 'hardLink') {
        links.set(name, path.posix.join(entry.kind === 'symbolicLink' ? path.posix.dirname(name) : '.', entry.link));
      } else if (entry.kind === 'file' && entry.segments === undefined) {
        places.set(name, { offset, size: entry.size });
        const padded = Math.ceil(entry.size / blockSize) * blockSize;
        if (offset + entry.size > total) throw new ArchiveError('the archive ends in the middle of an entry', total);
        offset += padded;
        reader.skipData();
      }
    }
    reader.finish();
  } finally {
    await handle.close();
  }
  // docker save writes a layer that an image has twice as a link to the first.
  for (const [name, target] of links) {
    const place = places.get(target);
    if (place !== undefined && !places.has(name)) places.set(name, place);
  }
  return places;
}
