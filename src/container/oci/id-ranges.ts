// The ids that containers have on the machine, where files of images can be shown to each with its own (native/rootfs.c):
// what the kernel counts by the user is then counted for each container by itself.
import { randomInt } from 'node:crypto';
import { containerIds, type IdRange } from './id-mapping.ts';

/** A range of ids that a container has until it is given back. */
export interface TakenIds extends Disposable {
  readonly range: IdRange;
}

/**
 * The ranges above the one that images' files have on disk. Hosts do not know of each other's: they take theirs by
 * chance, and two containers of the same range are kept apart as all were before.
 */
export class IdRanges {
  readonly #first: number;
  readonly #count: number;
  readonly #taken = new Set<number>();

  /**
   * @param first the first id of the first range
   * @param count how many ranges there are, at least one
   */
  constructor(first: number, count: number) {
    this.#first = first;
    this.#count = count;
  }

  /** A range that no other container of this host has. With all of them taken, one that another has, too. */
  take(): TakenIds {
    let slot = randomInt(this.#count);
    for (let tries = 0; this.#taken.has(slot) && tries < this.#count; tries += 1) slot = (slot + 1) % this.#count;
    this.#taken.add(slot);
    return {
      range: { first: this.#first + slot * containerIds, count: containerIds },
      [Symbol.dispose]: () => this.#taken.delete(slot),
    };
  }
}
