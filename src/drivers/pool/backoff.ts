// When to try again what failed: later after each failure, and not at the same time as others.

const firstMs = 100;
const longestMs = 30_000;

/** Exponential back-off with jitter. Times are milliseconds of performance.now(). */
export class Backoff {
  #failures = 0;
  #until = 0;

  /** Notes a failure; the next try may come after 100 ms, 200 ms, … up to 30 s, each less up to a half by chance. */
  failed(): void {
    const delay = Math.min(firstMs * 2 ** this.#failures, longestMs);
    this.#failures += 1;
    this.#until = performance.now() + delay * (0.5 + Math.random() / 2);
  }

  /** How long to wait before the next try, in milliseconds. */
  get remainingMs(): number {
    return Math.max(this.#until - performance.now(), 0);
  }
}
