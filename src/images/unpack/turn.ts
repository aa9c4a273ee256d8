// Lets others have their turn: what is done to files is done in calls that wait for the kernel, and an image is free to
// make many of them necessary.
import { setImmediate } from 'node:timers/promises';

/** For how long one image may keep the event loop, in milliseconds. */
const longestMs = 10;

/** A turn at the event loop. */
export class Turn {
  #began = performance.now();

  /** Whether it has lasted long enough. */
  isOver(): boolean {
    return performance.now() - this.#began >= longestMs;
  }

  /** Lets the event loop run, if this turn is over; then the next one begins. */
  async pass(): Promise<void> {
    if (!this.isOver()) return;
    await setImmediate();
    this.#began = performance.now();
  }
}
