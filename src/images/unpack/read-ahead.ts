// Reads a stream before it is asked for: while one layer is unpacked, the next one is decompressed on another thread.

/** What has been read and not yet been asked for, at most, in bytes; and one chunk more. */
const bound = 4 * 1024 * 1024;

/** Chunks that are read ahead. Disposing lets go of the source, also if nobody has asked for anything. */
export class ReadAhead implements AsyncIterable<Buffer>, Disposable {
  readonly #source: AsyncGenerator<Buffer>;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #state: { readonly ended: false } | { readonly ended: true; readonly failure?: { readonly error: unknown } } = {
    ended: false,
  };
  #disposed = false;
  /** Something has changed: there is a chunk, there is room, or that was all. */
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
        this.#tell();
        while (this.#bytes > bound && !this.#disposed) await this.#changed.promise;
        if (this.#disposed) return;
      }
      this.#state = { ended: true };
    } catch (error) {
      this.#state = { ended: true, failure: { error } };
    } finally {
      this.#tell();
    }
  }

  #tell(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers<undefined>();
  }

  /** All chunks, once; then what the source fails with is thrown. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#bytes -= chunk.length;
        this.#tell();
        yield chunk;
        giveBack(chunk);
        continue;
      }
      const state = this.#state;
      if (!state.ended) await this.#changed.promise;
      else if (state.failure !== undefined) throw state.failure.error;
      else return;
    }
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#chunks.length = 0;
    this.#tell();
    // Not waited for: more of the blob may have to come before the source is done with what it is at.
    this.#source.return(undefined).catch(() => undefined);
  }
}

/**
 * Frees the memory of a chunk that is done with, rather than leave that to the garbage collector: it would run again and
 * again only for these. The decoder puts several chunks into one piece of memory, and nothing more behind the last. Small
 * chunks that a stream has joined lie in Node's pool, which is everybody's and cannot be freed.
 */
function giveBack({ buffer, byteOffset, byteLength }: Buffer): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength <= Buffer.poolSize) return;
  if (byteOffset + byteLength === buffer.byteLength) buffer.transfer(0);
}
