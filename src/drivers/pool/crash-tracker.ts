// Which failures are the source's fault, and which the driver's. A source that has ended two instances is quarantined:
// refused for a time, or a single file in a loop would keep a pool from all other work. The driver is at fault where
// several sources ended instances that had never answered.
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { BabelhostError, isBabelhostError } from '../../base/errors.ts';
import type { PoolLimits } from './options.ts';
import type { Instance } from '../process/instance.ts';

/** A timeout is the source's fault where the instance had this part of the default time for it. */
const fullTime = 0.9;

/** The driver is at fault after so many different sources that each ended an instance before it ever answered. */
const brokenAfter = 3;

/** The instances that a source may end before it is quarantined. */
const quarantinedAfter = 2;

/** How many sources are remembered: one that is forgotten costs two more instances. */
const remembered = 10_000;

export class CrashTracker {
  readonly #timeoutMs: number;
  /** How many instances each source has ended, by its hash; undefined where sources are never quarantined. */
  readonly #deaths: LRUCache<string, number> | undefined;
  /** Hashes of the sources that ended instances before these ever answered, since an instance last answered. */
  readonly #earlyDeaths = new Set<string>();

  constructor({ quarantineMs, timeoutMs }: Pick<PoolLimits, 'quarantineMs' | 'timeoutMs'>) {
    if (quarantineMs > 0) this.#deaths = new LRUCache({ max: remembered, ttl: quarantineMs });
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Refuses a source that is quarantined.
   * @param line the request as it is written to the driver
   * @throws BabelhostError `quarantined`
   */
  check(line: Buffer, language: string): void {
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
   * Notes a failure.
   * @param line the request as it was written
   * @param ms how long the instance had worked on it
   * @returns for an instance that ended before it ever answered: the error to tell, once that is the driver's fault
   */
  failed(
    error: unknown,
    instance: Instance,
    line: Buffer,
    ms: number,
  ): { readonly reason: BabelhostError | undefined } | undefined {
    if (isBabelhostError(error, 'driverCrashed', 'driverProtocol')) {
      return instance.endedByHost ? undefined : this.#crashed(instance, line, error);
    }
    // A short time may be the client's own choice, which is not the source's fault.
    const tookLong = isBabelhostError(error, 'timeout') && ms >= fullTime * this.#timeoutMs;
    if (tookLong || isBabelhostError(error, 'responseTooLarge')) this.#count(line);
    return undefined;
  }

  #crashed(instance: Instance, line: Buffer, error: BabelhostError): ReturnType<CrashTracker['failed']> {
    const source = this.#count(line);
    if (instance.answered > 0) return undefined;
    this.#earlyDeaths.add(source);
    if (this.#earlyDeaths.size < brokenAfter) return { reason: undefined };
    // Without the driver's stderr, which may quote the source: this error is for requests of other clients.
    const data = Object.fromEntries(Object.entries(error.data).filter(([name]) => name !== 'stderr'));
    return { reason: new BabelhostError(error.kind, error.message, data, { cause: error }) };
  }

  /** Counts an instance that a request ended. @returns the hash of its source */
  #count(line: Buffer): string {
    const key = keyOf(line);
    this.#deaths?.set(key, (this.#deaths.get(key) ?? 0) + 1);
    return key;
  }
}

function keyOf(line: Buffer): string {
  return hash('sha256', line, 'hex');
}
