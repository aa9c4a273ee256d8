// When to try again what failed: later each time, and never all at once.

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

  /** Notes a success: the next failure is a first one again. */
  succeeded(): void {
    this.#failures = 0;
    this.#until = 0;
  }

  /** For how long nothing should be tried, in milliseconds; 0 where it may be. */
  get remainingMs(): number {
    return Math.max(this.#until - performance.now(), 0);
  }
}
