// Zstandard streams of any number of frames. Node's decoder ends with the first frame (RFC 8878 lets a file have many, and
// skippable ones between them: estargz's and zstd:chunked's layers do), so what it leaves goes to another one.
import { createZstdDecompress, type ZstdDecompress } from 'node:zlib';
import { overLimit } from '../limits.ts';

/**
 * Decompresses all frames of `source`, `chunkSize` bytes at most at a time.
 * @param maxFrames - tools write one for each file at most; each costs a decoder, and can be nine bytes long.
 * @throws BabelhostError `imageInvalid` if there are more: the limit `entries`.
 */
export async function* decompressZstd(
  source: AsyncIterable<Buffer>,
  chunkSize: number,
  maxFrames: number,
): AsyncGenerator<Buffer> {
  const chunks = source[Symbol.asyncIterator]();
  let rest: Buffer | undefined;
  for (let frames = 1; ; frames += 1) {
    if (frames > maxFrames)
      throw overLimit('entries', maxFrames, 'The number of Zstandard frames in a layer or an archive');
    const decoder = createZstdDecompress({ chunkSize });
    const feeding = feed(decoder, chunks, rest);
    // Its failure is the decoder's, or the source's, and is thrown below; here it is only not to be unhandled.
    feeding.catch((error: unknown) => decoder.destroy(error instanceof Error ? error : new Error(String(error))));
    try {
      for await (const chunk of decoder as AsyncIterable<Buffer>) yield chunk;
    } finally {
      decoder.destroy();
    }
    const fed = await feeding;
    if (fed.sourceEnded) return;
    rest = fed.rest;
  }
}

/** Gives chunks to a decoder until it or the source has ended; `rest` is what the decoder did not want. */
async function feed(
  decoder: ZstdDecompress,
  chunks: AsyncIterator<Buffer>,
  rest: Buffer | undefined,
): Promise<{ sourceEnded: boolean; rest?: Buffer }> {
  const ended = new Promise<void>((resolve) => {
    decoder.once('close', () => {
      resolve();
    });
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
    const written = new Promise<void>((resolve) => {
      decoder.write(current, () => {
        resolve();
      });
    });
    await Promise.race([written, ended]);
    // A frame that ended within the chunk: its writing is then reported as done, or not at all.
    const left = fed - decoder.bytesWritten;
    if (left > 0 || decoder.destroyed) {
      if (left === fed) throw new Error('it is not Zstandard');
      return { sourceEnded: false, ...(left === 0 ? {} : { rest: current.subarray(current.length - left) }) };
    }
    chunk = undefined;
  }
}
