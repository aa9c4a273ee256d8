// Whether a client still reads its answers. The end of what it sends does not tell: a script closes its sending half and
// waits. Node looks for a full close only while it reads or has something to write, so that one who asks, closes and leaves
// would be worked for until the first answer.
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** How often to look, in milliseconds. */
const intervalMs = 250;

/** Resolves with true when nobody reads the output any more, with false when the signal is aborted. Never rejects. */
export type AwaitHangUp = (signal: AbortSignal) => Promise<boolean>;

export class HangUpWatch implements Disposable {
  readonly #output: Writable;
  readonly #awaitHangUp: AwaitHangUp | undefined;
  readonly #onHangUp: () => void;
  readonly #disposed = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #awaited = false;

  /**
   * @param awaitHangUp for an output that is a pipe
   * @param onHangUp may be called several times. What happens to a socket is emitted by the output, too
   */
  constructor(output: Writable, awaitHangUp: AwaitHangUp | undefined, onHangUp: () => void) {
    this.#output = output;
    this.#awaitHangUp = awaitHangUp;
    this.#onHangUp = onHangUp;
  }

  /** Starts looking every now and then, or stops: while the input is read, its end tells when to begin. */
  watch(is: boolean): void {
    clearInterval(this.#timer);
    if (!is || this.#disposed.signal.aborted) return;
    this.#timer = setInterval(() => {
      this.check();
      void this.#await();
    }, intervalMs).unref();
  }

  /** Looks now whether a socket's other end is closed. */
  check(): void {
    const output = this.#output;
    if (!(output instanceof Socket) || !output.writable || output.writableLength > 0) return;
    // Without bytes, write(2) to a Unix socket sends nothing, and fails with EPIPE if its other end is closed as a whole.
    output.write('');
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#disposed.abort();
  }

  async #await(): Promise<void> {
    if (this.#awaited || this.#awaitHangUp === undefined) return;
    this.#awaited = true;
    if (await this.#awaitHangUp(this.#disposed.signal)) this.#onHangUp();
  }
}
