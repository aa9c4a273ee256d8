// Whose doing it is that a request fails on its instance: its source's, which is quarantined when that has happened twice, or
// the driver's, where many sources end instances that never answered.
import { BabelhostError, isBabelhostError } from '../errors.ts';
import type { Instance } from './instance.ts';
import { Quarantine } from './quarantine.ts';

/** Which part of the time that a request may take it must have had on an instance before it counts as the source's doing. */
const fullTime = 0.9;

/** After so many different sources that each ended an instance before it ever answered, it is the driver's fault. */
const brokenAfter = 3;

/** An instance ended before it ever answered. With the reason, once it is the driver's fault. */
export interface EarlyDeath {
  readonly reason: BabelhostError | undefined;
}

export class Blame {
  readonly #quarantine: Quarantine;
  readonly #timeoutMs: number;
  /** Hashes of the sources that ended instances before these ever answered, since one last did. */
  readonly #earlyDeaths = new Set<string>();

  /**
   * @param quarantineMs how long a source stays quarantined, in milliseconds; 0 for never
   * @param timeoutMs how long a request may take that names no time of its own, in milliseconds
   */
  constructor(quarantineMs: number, timeoutMs: number) {
    this.#quarantine = new Quarantine(quarantineMs);
    this.#timeoutMs = timeoutMs;
  }

  /** @throws BabelhostError `quarantined` for a source that is */
  check(line: Buffer, language: string): void {
    this.#quarantine.check(line, language);
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
      return instance.endedByHost ? undefined : this.#died(instance, line, error);
    }
    // A short time may be the client's own idea, or what waiting left of it: neither is the source's doing.
    const tookLong = isBabelhostError(error, 'timeout') && ms >= fullTime * this.#timeoutMs;
    if (tookLong || isBabelhostError(error, 'responseTooLarge')) this.#quarantine.died(line);
    return undefined;
  }

  #died(instance: Instance, line: Buffer, error: BabelhostError): EarlyDeath | undefined {
    const source = this.#quarantine.died(line);
    if (instance.answered > 0) return undefined;
    this.#earlyDeaths.add(source);
    if (this.#earlyDeaths.size < brokenAfter) return { reason: undefined };
    // Without its last words: they may quote the source, and are not for the next one who asks.
    const data = Object.fromEntries(Object.entries(error.data).filter(([name]) => name !== 'stderr'));
    return { reason: new BabelhostError(error.kind, error.message, data, { cause: error }) };
  }
}
