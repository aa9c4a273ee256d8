// How much of files the requests of one client may hold in memory. A request that names a file has a hundred bytes, and the
// host holds all of the file, as text and in JSON, until a driver has answered. A thousand such requests would take all
// memory there is, so large files wait until others of the same client are done with.
import { CancelledError, queueTimeout, type RequestTiming } from '../request.ts';

/** What the requests of a client may hold of files, in bytes; a larger file is let in where it is the only one. */
export const fileBudgetBytes = 256 * 1024 * 1024;

/** Smaller files never wait: how many requests a client may have at once bounds them (protocol/server/back-pressure.ts). */
export const smallFileBytes = 256 * 1024;

/**
 * What a file takes in memory, before it is known to have characters that are longer in JSON: text of up to two bytes for
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
  /** In the order in which they came, so that a large file does not wait for smaller ones for ever. */
  readonly #waiting = new Set<Waiting>();

  constructor(limit = fileBudgetBytes) {
    this.#limit = limit;
  }

  /** @returns whether there was room */
  tryTake(bytes: number): boolean {
    if (this.#waiting.size > 0 || !this.#fits(bytes)) return false;
    this.#held += bytes;
    return true;
  }

  /** Takes what is needed already, whether there is room or not; a negative number gives back. */
  change(bytes: number): void {
    this.#held += bytes;
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting.bytes)) break;
      this.#held += waiting.bytes;
      this.#waiting.delete(waiting);
      waiting.enter();
    }
  }

  /** Waits for room and takes it. @throws BabelhostError `timeout`; CancelledError */
  async take(bytes: number, timing: RequestTiming, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) throw new CancelledError();
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const waiting: Waiting = {
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
    const late = setTimeout(
      () => {
        leave(queueTimeout(timing, 'waiting for other files'));
      },
      Math.max(timing.queueDeadline - performance.now(), 0),
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiting.add(waiting);
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

/** What one request holds of its client's budget, to be disposed of when it is answered. */
export class FileReservation implements Disposable {
  readonly #budget: FileBudget;
  readonly #timing: RequestTiming;
  readonly #signal: AbortSignal | undefined;
  #bytes = 0;

  constructor(budget: FileBudget, timing: RequestTiming, signal: AbortSignal | undefined) {
    this.#budget = budget;
    this.#timing = timing;
    this.#signal = signal;
  }

  /** @returns whether a file that takes so many bytes in memory may be read now */
  tryTake(bytes: number): boolean {
    if (bytes <= smallFileBytes || bytes <= this.#bytes) return true;
    if (!this.#budget.tryTake(bytes - this.#bytes)) return false;
    this.#bytes = bytes;
    return true;
  }

  /**
   * Waits until a file that takes so many bytes in memory may be read.
   * @throws BabelhostError `timeout`; CancelledError
   */
  async take(bytes: number): Promise<void> {
    this.set(0);
    await this.#budget.take(bytes, this.#timing, this.#signal);
    this.#bytes = bytes;
  }

  /** Sets what is held now: some characters are longer in JSON. */
  set(bytes: number): void {
    const now = bytes <= smallFileBytes ? 0 : bytes;
    if (now !== this.#bytes) this.#budget.change(now - this.#bytes);
    this.#bytes = now;
  }

  [Symbol.dispose](): void {
    this.set(0);
  }
}
