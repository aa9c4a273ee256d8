// Whose doing it is that a request fails on its instance: its source's, which is quarantined when that has happened twice, or
// the driver's, where many sources end instances that never answered. A source in quarantine is not given to another
// instance for a time, or a single file in a loop would keep a pool from everybody else's work.
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { BabelhostError, isBabelhostError } from '../../base/errors.ts';
import type { Instance } from '../process/instance.ts';

/** Which part of the time that a request may take it must have had on an instance before it counts as the source's doing. */
const fullTime = 0.9;

/** After so many different sources that each ended an instance before it ever answered, it is the driver's fault. */
const brokenAfter = 3;

/** The instances that a source may end before it is quarantined. */
const quarantinedAfter = 2;

/** How many sources are remembered: what is forgotten only costs two more instances. */
const remembered = 10_000;

/** An instance ended before it ever answered. With the reason, once it is the driver's fault. */
export interface EarlyDeath {
  readonly reason: BabelhostError | undefined;
}

export class CrashTracker {
  readonly #timeoutMs: number;
  /** How many instances each source has ended, by its hash; undefined where sources are never quarantined. */
  readonly #deaths: LRUCache<string, number> | undefined;
  /** Hashes of the sources that ended instances before these ever answered, since one last did. */
  readonly #earlyDeaths = new Set<string>();

  /**
   * @param quarantineMs how long a source stays quarantined, in milliseconds; 0 for never
   * @param timeoutMs how long a request may take that names no time of its own, in milliseconds
   */
  constructor(quarantineMs: number, timeoutMs: number) {
    if (quarantineMs > 0) this.#deaths = new LRUCache({ max: remembered, ttl: quarantineMs });
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Refuses a source that is quarantined.
   * @param line the request as it is written to the driver
   * @throws BabelhostError `quarantined`
   */
  check(line: Buffer, language: string): void {
    // No hash is made of what all requests bring while nothing has ever died.
    if (this.#deaths === undefined || this.#deaths.size === 0) return;
    const key = keyOf(line);
    const count = this.#deaths.get(key) ?? 0;
    if (count < quarantinedAfter) return;
    const retryAfterMs = Math.ceil(this.#deaths.getRemainingTTL(key));
    throw new BabelhostError(
      'quarantined',
      `This source has ended ${count} instances of the ${language} driver and is not given to another for ${Math.ceil(retryAfterMs / 1000)} s.`,
      { language, deaths: count, contentHash: `sha256:${key}`, retryAfterMs },
    );
  }

  /** An instance has answered: the driver works. */
  answered(): void {
    this.#earlyDeaths.clear();
  }

  /**
   * Draws the conclusions from a failure.
   * @param line the request as it was written
   * @param ms how long the instance has been at it
   */
  failed(error: unknown, instance: Instance, line: Buffer, ms: number): EarlyDeath | undefined {
    if (isBabelhostError(error, 'driverCrashed', 'driverProtocol')) {
      return instance.endedByHost ? undefined : this.#crashed(instance, line, error);
    }
    // A short time may be the client's own idea, or what waiting left of it: neither is the source's doing.
    const tookLong = isBabelhostError(error, 'timeout') && ms >= fullTime * this.#timeoutMs;
    if (tookLong || isBabelhostError(error, 'responseTooLarge')) this.#count(line);
    return undefined;
  }

  #crashed(instance: Instance, line: Buffer, error: BabelhostError): EarlyDeath | undefined {
    const source = this.#count(line);
    if (instance.answered > 0) return undefined;
    this.#earlyDeaths.add(source);
    if (this.#earlyDeaths.size < brokenAfter) return { reason: undefined };
    // Without its last words: they may quote the source, and are not for the next one who asks.
    const data = Object.fromEntries(Object.entries(error.data).filter(([name]) => name !== 'stderr'));
    return { reason: new BabelhostError(error.kind, error.message, data, { cause: error }) };
  }

  /** Notes that an instance was ended by a request. @returns the hash that its source is known by */
  #count(line: Buffer): string {
    const key = keyOf(line);
    this.#deaths?.set(key, (this.#deaths.get(key) ?? 0) + 1);
    return key;
  }
}

function keyOf(line: Buffer): string {
  return hash('sha256', line, 'hex');
}
