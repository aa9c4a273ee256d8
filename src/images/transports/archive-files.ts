// The files in a tar archive, found without unpacking it: where in the archive the bytes of each lie. For archives of
// images, which are read out of order.
import { createReadStream, createWriteStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import path from 'node:path';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { openRegularFile } from '../../base/regular-file.ts';
import { overLimit, type ImageLimits } from '../limits.ts';
import { ArchiveError, type TarEntry } from '../tar/entry.ts';
import { blockSize } from '../tar/header.ts';
import { TarReader } from '../tar/reader.ts';
import { components } from '../unpack/root-directory.ts';
import { decompressZstd } from '../unpack/zstd.ts';

/** How many bytes of a file are read at a time. */
const readSize = 256 * 1024;

/** An archive of an image has a few entries for each layer; this is the bound on them. */
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
    work: () => Promise<string>,
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

  /** A whole file, or undefined; what is over `limit` bytes is cut one byte after it, for whoever verifies to see. */
  async read(file: string, limit: number): Promise<Buffer | undefined> {
    const place = this.#places.get(file);
    if (place === undefined) return undefined;
    const handle = await open(this.#path, 'r');
    try {
      const length = Math.min(place.size, limit + 1);
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, place.offset);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  }

  /** A file's bytes as they come, or undefined if it is not in the archive. */
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
  work: () => Promise<string>,
  limits: ImageLimits,
  signal: AbortSignal | undefined,
): Promise<string> {
  const handle = await openRegularFile(file);
  let magic: number;
  try {
    const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    magic = buffer.readUInt32BE(0);
  } finally {
    await handle.close();
  }
  const decoder =
    magic >>> 16 === 0x1f8b
      ? createGunzip({ chunkSize: readSize })
      : magic === 0x28b52ffd
        ? (chunks: AsyncIterable<Buffer>) => decompressZstd(chunks, readSize, limits.entries)
        : undefined;
  if (decoder === undefined) return file;
  const copy = path.join(await work(), 'archive.tar');
  let length = 0;
  const bounded = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      length += chunk.length;
      if (length > limits.compressedBytes) {
        throw overLimit('compressedBytes', limits.compressedBytes, `The archive in ${name}`);
      }
      yield chunk;
    }
  };
  await pipeline(
    createReadStream(file),
    decoder,
    bounded,
    createWriteStream(copy, { flags: 'wx' }),
    signal === undefined ? {} : { signal },
  );
  return copy;
}

/** Reads the headers of an archive, and of what lies between them only what the reader wants of it. */
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
      // A header at a time: where its data begins is then known, and the data need not be read at all.
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
