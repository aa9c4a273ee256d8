// Gzip streams (RFC 1952), fed so that the reader of a file can use one buffer for all that it reads.
import { createGunzip, type Gunzip } from 'node:zlib';

/**
 * Decompresses `source`, `chunkSize` bytes at most at a time. A chunk of `source` has been taken in when the next one is
 * asked for, so it may lie in the same memory.
 */
export async function* decompressGzip(source: AsyncIterable<Buffer>, chunkSize: number): AsyncGenerator<Buffer> {
  const decoder = createGunzip({ chunkSize });
  const feeding = feed(decoder, source);
  // Its failure is the decoder's, or the source's, and is thrown below; here it is only not to be unhandled.
  feeding.catch((error: unknown) => decoder.destroy(error instanceof Error ? error : new Error(String(error))));
  try {
    for await (const chunk of decoder as AsyncIterable<Buffer>) yield chunk;
  } finally {
    decoder.destroy();
  }
  await feeding;
}

async function feed(decoder: Gunzip, source: AsyncIterable<Buffer>): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    decoder.once('close', () => {
      resolve();
    });
  });
  for await (const chunk of source) {
    const written = new Promise<void>((resolve) => {
      decoder.write(chunk, () => {
        resolve();
      });
    });
    await Promise.race([written, ended]);
    if (decoder.destroyed) return;
  }
  decoder.end();
}
