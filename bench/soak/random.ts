// Random choices that can be had again: mulberry32, small, and the same for the same seed.

export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed;
  }

  /** A number from 0 to below `below`. */
  next(below = 1): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below;
  }

  /** A whole number from 0 to below `below`. */
  whole(below: number): number {
    return Math.floor(this.next(below));
  }

  pick<T>(from: readonly T[]): T {
    return from[this.whole(from.length)] as T; // within the list, which is not empty
  }
}
