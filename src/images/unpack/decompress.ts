// Decompression of layers and archives: gzip (RFC 1952) and Zstandard (RFC 8878).
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib';
import type { Compression } from '../documents.ts';
import { overLimit, type ImageLimits } from '../limits.ts';

/** How a file is compressed, by its first four bytes. */
export function compressionOf(begin: Buffer): Compression {
  if (begin.length >= 2 && begin.readUInt16BE(0) === 0x1f8b) return 'gzip';
  return begin.length >= 4 && begin.readUInt32BE(0) === 0x28b52ffd ? 'zstd' : 'none';
}

/**
 * Decompresses `source`, at most `chunkSize` bytes at a time. It is done with a chunk of `source` when it asks for the next,
 * which may lie in the same memory.
 * @param limits - Zstandard frames count as `entries`: tools write one for each file at most, each takes a decoder, and it
 *   can be nine bytes long.
 * @throws BabelhostError `imageInvalid` if there are more frames.
 */
export async function* decompress(
  source: AsyncIterable<Buffer>,
  compression: 'gzip' | 'zstd',
  chunkSize: number,
  limits: ImageLimits,
): AsyncGenerator<Buffer> {
  const chunks = source[Symbol.asyncIterator]();
  let rest: Buffer | undefined;
  for (let frames = 1; ; frames += 1) {
    if (frames > limits.entries) {
      throw overLimit('entries', limits.entries, 'The number of Zstandard frames in a layer or an archive');
    }
    const decoder = compression === 'gzip' ? createGunzip({ chunkSize }) : createZstdDecompress({ chunkSize });
    const feeding = feed(decoder, chunks, rest);
    // The decoder then throws it below; this only keeps it from being an unhandled rejection.
    feeding.catch((error: unknown) => decoder.destroy(error instanceof Error ? error : new Error(String(error))));
    try {
      for await (const chunk of decoder as AsyncIterable<Buffer>) yield chunk;
    } finally {
      decoder.destroy();
    }
    const fed = await feeding;
    // Node's gzip decoder reads all members of a stream, its Zstandard decoder one frame, of which estargz's and
    // zstd:chunked's layers have many.
    if (compression === 'gzip' || fed.sourceEnded) return;
    rest = fed.rest;
  }
}

/** Gives chunks to a decoder until it or the source has ended; `rest` is what the decoder did not take. */
async function feed(
  decoder: Gunzip | ZstdDecompress,
  chunks: AsyncIterator<Buffer>,
  rest: Buffer | undefined,
): Promise<{ sourceEnded: boolean; rest?: Buffer }> {
  const ended = new Promise<void>((resolve) => {
    decoder.once('close', resolve);
  });
  let fed = 0;
  let chunk = rest;
  for (;;) {
    if (chunk === undefined) {
      const next = await chunks.next();
      if (next.done === true) {
        decoder.end();
        return { sourceEnded: true };
      }
      chunk = next.value;
    }
    const current = chunk;
    fed += current.length;
    const written = new Promise<unknown>((resolve) => {
      decoder.write(current, resolve);
    });
    await Promise.race([written, ended]);
    // When a frame ends within the chunk, its write is reported as done, or not at all.
    const left = fed - decoder.bytesWritten;
    if (left > 0 || decoder.destroyed) {
      if (left === fed) throw new Error('none of it could be decompressed');
      return { sourceEnded: false, ...(left === 0 ? {} : { rest: current.subarray(current.length - left) }) };
    }
    chunk = undefined;
  }
}
