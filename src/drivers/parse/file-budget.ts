// How much of files a client's requests may hold at once. A request that names a file has a hundred bytes, for which the host
// holds all of it, as text and in JSON, until a driver has answered. A thousand such requests, and a driver that does not
// read, would take all memory there is: so large files wait until others of the same client are done with.
import { CancelledError, timeoutError, type RequestTiming } from '../request.ts';

/** What the requests of a client hold of files, in bytes; one more is let in where that is the only one. */
export const fileBudgetBytes = 256 * 1024 * 1024;

/** Smaller files wait for nothing: how many requests a client may have at once bounds them (protocol/back-pressure.ts). */
export const smallFileBytes = 256 * 1024;

/**
 * What a file comes to in memory, before it is known to have characters that are longer in JSON: text of up to two bytes for
 * each of its own, and the line for its driver.
 */
export function bytesInMemory(fileBytes: number): number {
  return 3 * fileBytes;
}

interface Waiting {
  readonly bytes: number;
  readonly enter: () => void;
}

/** The files of one client. */
export class FileBudget {
  readonly #limit: number;
  #held = 0;
  /** In the order in which they came: a large file is not passed by smaller ones for ever. */
  readonly #waiting = new Set<Waiting>();

  constructor(limit = fileBudgetBytes) {
    this.#limit = limit;
  }

  /** Takes room for one request, of which there is none yet. */
  lease(timing: RequestTiming, signal: AbortSignal | undefined): FileReservation {
    return new FileReservation(this, timing, signal);
  }

  /** Whether there was room. */
  tryTake(bytes: number): boolean {
    if (this.#waiting.size > 0 || !this.#fits(bytes)) return false;
    this.#held += bytes;
    return true;
  }

  /** Takes room that is needed already, whether there is any or not; less than none gives it back. */
  change(bytes: number): void {
    this.#held += bytes;
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting.bytes)) break;
      this.#held += waiting.bytes;
      this.#waiting.delete(waiting);
      waiting.enter();
    }
  }

  /** Waits for room and takes it. @throws what FileLease.take throws */
  async take(bytes: number, { deadline, timeoutMs }: RequestTiming, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) throw new CancelledError();
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const waiting = {
      bytes,
      enter: () => {
        resolve(undefined);
      },
    };
    const leave = (reason: Error): void => {
      this.#waiting.delete(waiting);
      // Smaller ones may have waited behind it alone.
      this.change(0);
      reject(reason);
    };
    const onAbort = (): void => {
      leave(new CancelledError());
    };
    this.#waiting.add(waiting);
    signal?.addEventListener('abort', onAbort, { once: true });
    const late = setTimeout(
      () => {
        leave(timeoutError(timeoutMs, 'waiting for other files'));
      },
      Math.max(deadline - performance.now(), 0),
    );
    this.change(0);
    try {
      await promise;
    } finally {
      clearTimeout(late);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #fits(bytes: number): boolean {
    return this.#held === 0 || this.#held + bytes <= this.#limit;
  }
}

/** What one request holds of its client's room, to be disposed of when it is answered. */
export class FileReservation implements Disposable {
  readonly #room: FileBudget;
  readonly #timing: RequestTiming;
  readonly #signal: AbortSignal | undefined;
  #bytes = 0;

  constructor(room: FileBudget, timing: RequestTiming, signal: AbortSignal | undefined) {
    this.#room = room;
    this.#timing = timing;
    this.#signal = signal;
  }

  /** Whether a file that comes to so many bytes may be read now. */
  tryTake(bytes: number): boolean {
    if (bytes <= smallFileBytes || bytes <= this.#bytes) return true;
    if (!this.#room.tryTake(bytes - this.#bytes)) return false;
    this.#bytes = bytes;
    return true;
  }

  /**
   * Waits until a file that comes to so many bytes may be read.
   * @throws BabelhostError `timeout`; CancelledError
   */
  async take(bytes: number): Promise<void> {
    this.#room.change(-this.#bytes);
    this.#bytes = 0;
    await this.#room.take(bytes, this.#timing, this.#signal);
    this.#bytes = bytes;
  }

  /** Tells what is held now: some characters are longer in JSON. */
  holds(bytes: number): void {
    const now = bytes <= smallFileBytes ? 0 : bytes;
    if (now !== this.#bytes) this.#room.change(now - this.#bytes);
    this.#bytes = now;
  }

  [Symbol.dispose](): void {
    if (this.#bytes > 0) this.#room.change(-this.#bytes);
    this.#bytes = 0;
  }
}
