// Identical requests in flight share one parse: an editor that asks again before it was answered, or two clients on one
// file, cost a driver's time once. Each keeps its own patience: one that cancels or runs out of time takes nothing from
// the others, and the work is given up when nobody waits for it any more.
import { isBabelhostError } from '../errors.ts';
import type { RequestSource } from './request-queue.ts';
import { CancelledError, timeoutError, type RequestTiming } from './request.ts';

export interface Sharer {
  readonly source: RequestSource;
  readonly timing: RequestTiming;
  readonly signal?: AbortSignal;
}

interface Shared<Result> {
  readonly result: Promise<Result>;
  readonly source: RequestSource;
  readonly giveUp: AbortController;
  sharers: number;
}

/** How often one who shares looks whether the work waits for a client that does not read, in milliseconds. */
const lookMs = 500;

export class SharedRequests<Result> {
  readonly #inFlight = new Map<string, Shared<Result>>();
  readonly #onResult: ((result: Result, sharers: number) => void) | undefined;

  /** @param onResult told of each result and of how many it is about to be given to, though some may leave before that */
  constructor(onResult?: (result: Result, sharers: number) => void) {
    this.#onResult = onResult;
  }

  /**
   * Does work once for all who ask for the same at the same time.
   * @param key says what the work is: the same key, the same result
   * @param start begins it for the first who asks; its signal is aborted when nobody waits any more
   * @throws what `start` throws; CancelledError and BabelhostError `timeout` for this sharer alone
   */
  async run(key: string, sharer: Sharer, start: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    if (sharer.signal?.aborted === true) throw new CancelledError();
    const shared = this.#inFlight.get(key);
    if (shared === undefined || shared.source.clogged) return await this.#begin(key, sharer, start);
    try {
      return await this.#follow(shared, sharer);
    } catch (error) {
      // The first one's time was over, its client stopped reading, or had too much in the queue: this one may still have
      // time and room of its own.
      const alone =
        error === leftAlone ||
        isBabelhostError(error, 'timeout') ||
        (isBabelhostError(error, 'overloaded') && shared.source !== sharer.source);
      if (!alone || performance.now() >= sharer.timing.deadline) throw error;
      return await this.run(key, sharer, start);
    }
  }

  async #begin(key: string, sharer: Sharer, start: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const giveUp = new AbortController();
    const result = start(giveUp.signal);
    const shared: Shared<Result> = { result, source: sharer.source, giveUp, sharers: 0 };
    this.#inFlight.set(key, shared);
    const forget = (): void => {
      if (this.#inFlight.get(key) === shared) this.#inFlight.delete(key);
    };
    // Before anybody else is told of the result: nobody can join any more.
    result.then((found) => {
      forget();
      this.#onResult?.(found, shared.sharers);
    }, forget);
    giveUp.signal.addEventListener('abort', forget, { once: true });
    // The work itself keeps this one's deadline.
    return await this.#attend(shared, sharer.signal);
  }

  async #follow(shared: Shared<Result>, { timing, signal, source }: Sharer): Promise<Result> {
    const timers: NodeJS.Timeout[] = [];
    try {
      return await Promise.race([
        this.#attend(shared, signal),
        new Promise<never>((_, reject) => {
          const late = (): void => {
            reject(timeoutError(timing.timeoutMs, 'being parsed'));
          };
          timers.push(setTimeout(late, Math.max(timing.deadline - performance.now(), 0)));
          timers.push(
            setInterval(() => {
              if (shared.source.clogged && shared.source !== source) reject(leftAlone);
            }, lookMs),
          );
        }),
      ]);
    } finally {
      for (const timer of timers) clearTimeout(timer);
    }
  }

  /** Waits for the result until this sharer cancels. */
  async #attend(shared: Shared<Result>, signal: AbortSignal | undefined): Promise<Result> {
    shared.sharers += 1;
    let cancel: (() => void) | undefined;
    try {
      if (signal === undefined) return await shared.result;
      const cancelled = new Promise<never>((_, reject) => {
        cancel = () => {
          reject(new CancelledError());
        };
        signal.addEventListener('abort', cancel, { once: true });
      });
      return await Promise.race([shared.result, cancelled]);
    } finally {
      if (cancel !== undefined) signal?.removeEventListener('abort', cancel);
      shared.sharers -= 1;
      if (shared.sharers === 0) shared.giveUp.abort(nobodyWaits);
    }
  }
}

/** Made once: without a reason, each abort makes an exception with its stack, for requests that are long done, too. */
const nobodyWaits = new CancelledError();

const leftAlone = new Error('the client that asked first does not read');
