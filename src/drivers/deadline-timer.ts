// A timer for deadlines that nearly always are met: one for request after request, each of which would else make and clear
// a timer of its own. It is set anew only for one that comes before what it is set for.

export class DeadlineTimer {
  readonly #onLate: () => void;
  #timer: NodeJS.Timeout | undefined;
  #firesAt = Infinity;
  #deadline: number | undefined;

  /** @param onLate called when a deadline has passed */
  constructor(onLate: () => void) {
    this.#onLate = onLate;
  }

  /** @param deadline in milliseconds of performance.now(), in place of the one before */
  set(deadline: number): void {
    this.#deadline = deadline;
    if (this.#firesAt > deadline) this.#arm(deadline);
  }

  /** The deadline was met. The timer may still run, for the next one; it keeps no process alive. */
  met(): void {
    this.#deadline = undefined;
  }

  /** No deadline comes any more. */
  end(): void {
    this.#deadline = undefined;
    clearTimeout(this.#timer);
    this.#firesAt = Infinity;
  }

  #arm(deadline: number): void {
    clearTimeout(this.#timer);
    this.#firesAt = deadline;
    this.#timer = setTimeout(
      () => {
        this.#fire();
      },
      Math.max(deadline - performance.now(), 0),
    ).unref();
  }

  #fire(): void {
    this.#firesAt = Infinity;
    const deadline = this.#deadline;
    if (deadline === undefined) return;
    // Timers of Node fire up to a millisecond early.
    if (performance.now() < deadline - 1) {
      this.#arm(deadline);
      return;
    }
    this.#deadline = undefined;
    this.#onLate();
  }
}
