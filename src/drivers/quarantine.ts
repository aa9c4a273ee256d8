// Sources that kill drivers. One that has killed two instances is not given to another for a time, or a single file in
// a loop would keep a pool from everybody else's work.
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { BabelhostError } from '../errors.ts';

/** The deaths after which a source is quarantined. */
const deaths = 2;
/** How many sources are remembered: what is forgotten only costs two more instances. */
const remembered = 10_000;

export class Quarantine {
  /** Made at the first death: most pools never have one, and it takes half a millisecond of a host's first answer. */
  #deaths: LRUCache<string, number> | undefined;
  readonly #quarantineMs: number;

  /** @param quarantineMs how long a source stays quarantined, in milliseconds; 0 for never */
  constructor(quarantineMs: number) {
    this.#quarantineMs = quarantineMs;
  }

  /**
   * Notes that an instance died of a request.
   * @param line the request as it was written to the driver
   * @returns the hash that it is known by
   */
  died(line: Buffer): string {
    const key = keyOf(line);
    if (this.#quarantineMs <= 0) return key;
    this.#deaths ??= new LRUCache({ max: remembered, ttl: Math.max(this.#quarantineMs, 1) });
    this.#deaths.set(key, (this.#deaths.get(key) ?? 0) + 1);
    return key;
  }

  /**
   * Refuses a source that is quarantined.
   * @throws BabelhostError `quarantined`
   */
  check(line: Buffer, language: string): void {
    // No hash is made of what all requests bring while nothing has ever died.
    if (this.#deaths === undefined || this.#deaths.size === 0) return;
    const key = keyOf(line);
    const count = this.#deaths.get(key) ?? 0;
    if (count < deaths) return;
    const retryAfterMs = Math.ceil(this.#deaths.getRemainingTTL(key));
    throw new BabelhostError(
      'quarantined',
      `This source has ended ${count} instances of the ${language} driver and is not given to another for ${Math.ceil(retryAfterMs / 1000)} s.`,
      { language, deaths: count, contentHash: `sha256:${key}`, retryAfterMs },
    );
  }
}

function keyOf(line: Buffer): string {
  return hash('sha256', line, 'hex');
}
