// A blob on its way into a file, which is read while it is still being written: a layer is unpacked as it comes. What is
// read so is not verified yet; whoever reads it keeps what becomes of it to itself until `complete` says that it was right.
import { open } from 'node:fs/promises';
import { systemErrorCode } from '../base/errors.ts';

/** How many bytes are read at a time. */
const readSize = 256 * 1024;

/** Written by one fetch, read by any number of followers. */
export class ArrivingBlob {
  readonly #complete = Promise.withResolvers<string>();
  readonly #started = Promise.withResolvers<string>();
  #ended = false;
  #wake = Promise.withResolvers<undefined>();

  constructor() {
    // Whoever follows or waits sees a failure; that nobody may is no crash.
    this.#complete.promise.catch(() => undefined);
    this.#started.promise.catch(() => undefined);
  }

  /** The file that the verified blob is in. Rejects with what the fetch failed with. */
  get complete(): Promise<string> {
    return this.#complete.promise;
  }

  /** Says where the bytes are being written. */
  begin(file: string): void {
    this.#started.resolve(file);
  }

  /** Says that there are more bytes. */
  grow(): void {
    this.#wake.resolve(undefined);
    this.#wake = Promise.withResolvers<undefined>();
  }

  /** Says that all bytes are there and right, in `file`. */
  succeed(file: string): void {
    this.#started.resolve(file);
    this.#ended = true;
    this.#complete.resolve(file);
    this.grow();
  }

  fail(error: unknown): void {
    this.#started.reject(error);
    this.#complete.reject(error);
    this.grow();
  }

  /** The bytes as they come, each chunk valid until the next is asked for. Throws what the fetch fails with. */
  async *follow(): AsyncGenerator<Buffer> {
    const handle = await this.#open();
    // One for all: a new one for each reading would be as much garbage as the blob is long.
    const memory = Buffer.allocUnsafeSlow(readSize);
    try {
      for (let offset = 0; ;) {
        // Both before reading: what comes in between is then met by another reading.
        const ended = this.#ended;
        const wake = this.#wake.promise;
        const { bytesRead } = await handle.read(memory, 0, readSize, offset);
        if (bytesRead > 0) {
          offset += bytesRead;
          yield memory.subarray(0, bytesRead);
        } else if (ended) return;
        else await Promise.race([wake, this.#complete.promise]);
      }
    } finally {
      await handle.close();
    }
  }

  async #open() {
    try {
      return await open(await this.#started.promise, 'r');
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      // It was moved to its place in this very moment.
      return await open(await this.#complete.promise, 'r');
    }
  }
}

/** A blob that is there already. */
export function arrivedBlob(file: string): ArrivingBlob {
  const blob = new ArrivingBlob();
  blob.succeed(file);
  return blob;
}
