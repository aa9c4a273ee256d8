// Reads a stream ahead: while one layer is unpacked, the next one is decompressed on another thread.

/** Bytes that are read ahead at most, and one chunk more. */
const bound = 4 * 1024 * 1024;

/** Reads chunks ahead. Disposing closes the source, also if nothing was read. */
export class ReadAhead implements AsyncIterable<Buffer>, Disposable {
  readonly #source: AsyncGenerator<Buffer>;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #ended = false;
  #failure: Error | undefined;
  #disposed = false;
  /** Resolves when there is a chunk, or room for one, or the source has ended. */
  #changed = Promise.withResolvers<undefined>();

  /** @param source - each of its chunks must have memory of its own. Read from now on. */
  constructor(source: AsyncGenerator<Buffer>) {
    this.#source = source;
    void this.#read();
  }

  async #read(): Promise<void> {
    try {
      for await (const chunk of this.#source) {
        this.#chunks.push(chunk);
        this.#bytes += chunk.length;
        this.#change();
        while (this.#bytes > bound && !this.#disposed) await this.#changed.promise;
        if (this.#disposed) return;
      }
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    } finally {
      this.#ended = true;
      this.#change();
    }
  }

  #change(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers<undefined>();
  }

  /** All chunks, once; then throws what the source failed with. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#bytes -= chunk.length;
        this.#change();
        yield chunk;
        free(chunk);
        continue;
      }
      if (!this.#ended) await this.#changed.promise;
      else if (this.#failure !== undefined) throw this.#failure;
      else return;
    }
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#chunks.length = 0;
    this.#change();
    // Not awaited, as that may need more of the blob to come.
    this.#source.return(undefined).catch(() => undefined);
  }
}

/**
 * Frees a chunk's memory, for which the garbage collector would run again and again. Node's decoders put several chunks into
 * one piece of memory, and nothing behind the last. Small chunks are in Node's shared pool, which must not be freed.
 */
function free({ buffer, byteOffset, byteLength }: Buffer): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength <= Buffer.poolSize) return;
  if (byteOffset + byteLength === buffer.byteLength) buffer.transfer(0);
}
