// A blob that is being fetched into a file, and read from it meanwhile: layers are unpacked as they come. What is read is
// not verified yet, so its reader must await `complete` before it shows to others what it made of it.
import { open } from 'node:fs/promises';

/** How many bytes are read at a time. */
const readSize = 256 * 1024;

/** Written by one fetch, read by any number of followers. */
export class ArrivingBlob {
  readonly file: string;
  readonly #complete = Promise.withResolvers<undefined>();
  #isComplete = false;
  #grown = Promise.withResolvers<undefined>();

  constructor(file: string) {
    this.file = file;
    // Without followers, a failure must not be an unhandled rejection.
    this.#complete.promise.catch(() => undefined);
  }

  /** Resolves once the file has the verified blob. Rejects with what the fetch failed with. */
  get complete(): Promise<void> {
    return this.#complete.promise;
  }

  /** Reports that the file has more bytes. */
  grow(): void {
    this.#grown.resolve(undefined);
    this.#grown = Promise.withResolvers<undefined>();
  }

  /** Reports that the file has all bytes, verified. */
  succeed(): void {
    this.#isComplete = true;
    this.#complete.resolve(undefined);
  }

  fail(error: unknown): void {
    this.#complete.reject(error);
  }

  /** The bytes as they come, each chunk valid until the next is asked for. Throws what the fetch fails with. */
  async *follow(): AsyncGenerator<Buffer> {
    // The file is there from its first bytes on.
    await Promise.race([this.#complete.promise, this.#grown.promise]);
    await using handle = await open(this.file);
    // One for all reads: a new one for each would be as much garbage as the blob is long.
    const memory = Buffer.allocUnsafeSlow(readSize);
    for (let offset = 0; ;) {
      // Before the read, so that what comes during it is not missed.
      const isComplete = this.#isComplete;
      const grown = this.#grown.promise;
      const { bytesRead } = await handle.read(memory, 0, readSize, offset);
      if (bytesRead > 0) {
        offset += bytesRead;
        yield memory.subarray(0, bytesRead);
      } else if (isComplete) return;
      else await Promise.race([this.#complete.promise, grown]);
    }
  }
}
