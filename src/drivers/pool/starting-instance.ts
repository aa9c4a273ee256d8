// An instance whose container boots: it has the id that it will have when it runs, and may be given up until then.
import { BabelhostError } from '../../base/errors.ts';
import { newContainerId } from '../../container/index.ts';
import type { DriverProcess } from '../process/driver-process.ts';
import type { PoolOptions } from './options.ts';

export class StartingInstance {
  readonly id = newContainerId();
  readonly state = 'starting';
  readonly startedAt = performance.now();
  readonly language: string;
  readonly digest: string;
  /** Resolves when the fleet has its driver; rejects with why there is none, when nothing of it is left. */
  readonly over: Promise<void>;
  readonly #options: PoolOptions;
  readonly #ending = new AbortController();

  /**
   * @param stopping aborted when the fleet starts no more
   * @param onBooted takes the driver
   */
  constructor(options: PoolOptions, stopping: AbortSignal, onBooted: (driver: DriverProcess) => Promise<void>) {
    this.#options = options;
    this.language = options.language;
    this.digest = options.digest;
    this.over = this.#boot(stopping).then(onBooted);
  }

  /** Whether a person ended it. */
  get endedByHost(): boolean {
    return this.#ending.signal.aborted;
  }

  /** Gives its boot up. Resolves when nothing of it is left. */
  async end(): Promise<void> {
    this.#ending.abort();
    // Why it did not start is for the fleet.
    await this.over.catch(() => undefined);
  }

  async #boot(stopping: AbortSignal): Promise<DriverProcess> {
    const { boot, limits } = this.#options;
    const tooLong = AbortSignal.timeout(limits.bootMs);
    const signal = AbortSignal.any([stopping, this.#ending.signal, tooLong]);
    try {
      return await boot(this.id, signal);
    } catch (error) {
      throw tooLong.aborted && signal.reason === tooLong.reason ? this.#bootTimeout(error) : error;
    }
  }

  #bootTimeout(cause: unknown): BabelhostError {
    const { language } = this;
    const { bootMs } = this.#options.limits;
    return new BabelhostError(
      'containerFailed',
      `The container of the ${language} driver did not start within ${bootMs} ms; see 'babelhost doctor', or give it more time (--boot-timeout).`,
      { language, bootMs },
      { cause },
    );
  }
}
