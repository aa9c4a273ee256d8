// Lets others have their turn: what is done to files is done in calls that wait for the kernel, and an image is free to
// make many of them necessary.
import { setImmediate } from 'node:timers/promises';

/** For how long one image may keep the event loop, in milliseconds, unless something else is said. */
const defaultMs = 10;

/** A turn at the event loop. */
export class TimeSlice {
  readonly #longestMs: number;
  #began = performance.now();

  /** @param longestMs - for how long the event loop may be kept. */
  constructor(longestMs = defaultMs) {
    this.#longestMs = longestMs;
  }

  /** Whether it has lasted long enough. */
  isOver(): boolean {
    return performance.now() - this.#began >= this.#longestMs;
  }

  /** Lets the event loop run, if this turn is over; then the next one begins. */
  async pass(): Promise<void> {
    if (!this.isOver()) return;
    await setImmediate();
    this.#began = performance.now();
  }
}
