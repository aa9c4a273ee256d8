// Lets the event loop run: files are unpacked in synchronous calls, and an image decides how many of them there are.
import { setImmediate } from 'node:timers/promises';

/** For how long one image may keep the event loop, in milliseconds: meanwhile other layers are fetched and decompressed. */
const sliceMs = 1;

export class TimeSlice {
  #began = performance.now();

  isOver(): boolean {
    return performance.now() - this.#began >= sliceMs;
  }

  /** Lets the event loop run if this slice is over; then the next one begins. */
  async pass(): Promise<void> {
    if (!this.isOver()) return;
    await setImmediate();
    this.#began = performance.now();
  }
}
