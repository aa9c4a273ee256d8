// The pool of one driver: its instances and the queue before them. Instances start when requests wait and there is room
// for more, are reused, and are replaced when they die. Knows neither images nor the protocol: it is told how to boot.
import { BabelhostError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { Instance } from './instance.ts';
import type { Guest } from './guest.ts';
import type { AnswerLimits, NativeAnswer } from './native-protocol.ts';
import { CancelledError, timeoutError, type RequestTiming } from './request.ts';

export interface PoolLimits extends AnswerLimits {
  /** The most instances at once. */
  readonly maximumInstances: number;
  /** The most requests that may wait. */
  readonly queueLength: number;
  /** How long a driver may take to come back after its request was given up, in milliseconds. */
  readonly graceMs: number;
  /** How long an instance may take to boot, in milliseconds. */
  readonly bootMs: number;
}

export interface PoolOptions {
  readonly language: string;
  readonly digest: string;
  readonly limits: PoolLimits;
  readonly logger: Logger;
  /** Boots one driver; rejects with the reason where it cannot. */
  readonly boot: (signal: AbortSignal) => Promise<Guest>;
}

export interface PoolCounts {
  readonly instances: number;
  readonly busy: number;
  readonly starting: number;
  readonly waiting: number;
  readonly success: number;
  readonly failed: number;
  readonly exited: number;
}

/** A request in the queue: run on an instance, or refused. */
interface Waiting {
  readonly run: (instance: Instance) => void;
  readonly refuse: (error: Error) => void;
}

export class Pool {
  readonly language: string;
  readonly digest: string;
  readonly #options: PoolOptions;
  readonly #instances = new Set<Instance>();
  readonly #queue = new Set<Waiting>();
  readonly #stopping = new AbortController();
  readonly #starts = new Set<Promise<void>>();
  #inFlight = 0;
  #success = 0;
  #failed = 0;
  #exited = 0;
  /** Whether the last start failed and none has worked since. */
  #failing = false;
  #closing = false;
  #onDrained: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.language = options.language;
    this.digest = options.digest;
  }

  /** The instances that run. */
  get instances(): readonly Instance[] {
    return [...this.#instances];
  }

  get counts(): PoolCounts {
    return {
      instances: this.#instances.size,
      busy: [...this.#instances].filter((instance) => instance.state !== 'idle').length,
      starting: this.#starts.size,
      waiting: this.#queue.size,
      success: this.#success,
      failed: this.#failed,
      exited: this.#exited,
    };
  }

  get state(): 'idle' | 'running' | 'failing' | 'stopped' {
    if (this.#closing) return 'stopped';
    if (this.#failing) return 'failing';
    return this.#instances.size > 0 ? 'running' : 'idle';
  }

  /**
   * Has an instance parse.
   * @param line a request as encodeRequest makes it
   * @throws BabelhostError `overloaded`, `timeout`, `shuttingDown`, what Instance.request throws, and why no instance
   * could be started; CancelledError
   */
  async request(line: Buffer, timing: RequestTiming, signal?: AbortSignal): Promise<NativeAnswer> {
    this.#inFlight += 1;
    try {
      const answer = await this.#submit(line, timing, signal);
      this.#success += 1;
      return answer;
    } catch (error) {
      this.#failed += 1;
      throw error;
    } finally {
      this.#inFlight -= 1;
      if (this.#inFlight === 0) this.#onDrained?.();
    }
  }

  /** Lets what is in flight or waiting finish, within `graceMs`, then ends all instances. */
  async drain(graceMs: number): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#onDrained = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    await this.close();
  }

  /** Ends all instances now; what waits or is in flight fails. Resolves when nothing is left. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#stopping.abort();
    this.#refuseAll(this.#closedError());
    await Promise.all(this.#starts);
    await Promise.all([...this.#instances].map((instance) => instance.end()));
  }

  async #submit(line: Buffer, timing: RequestTiming, signal: AbortSignal | undefined): Promise<NativeAnswer> {
    if (this.#closing) throw this.#closedError();
    if (signal?.aborted === true) throw new CancelledError();
    const idle = this.#idleInstance();
    if (idle !== undefined) return await idle.request(line, timing, signal);
    const { queueLength } = this.#options.limits;
    if (this.#queue.size >= queueLength) {
      throw new BabelhostError(
        'overloaded',
        `${this.#queue.size} requests wait for the ${this.language} driver already, which is the limit; try again in a moment.`,
        { language: this.language, waiting: this.#queue.size, limit: queueLength, retryAfterMs: 1000 },
      );
    }
    return await new Promise<NativeAnswer>((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#queue.delete(waiting);
      };
      const waiting: Waiting = {
        // Written in the same turn as the instance became idle, so that nobody else can take it in between.
        run: (instance) => {
          leave();
          instance.request(line, timing, signal).then(resolve, reject);
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const abort = (): void => {
        waiting.refuse(new CancelledError());
      };
      const timer = setTimeout(
        () => {
          waiting.refuse(timeoutError(timing.timeoutMs, 'waiting for an instance'));
        },
        Math.max(timing.deadline - performance.now(), 0),
      );
      signal?.addEventListener('abort', abort, { once: true });
      this.#queue.add(waiting);
      this.#startMore();
    });
  }

  #idleInstance(): Instance | undefined {
    for (const instance of this.#instances) if (instance.state === 'idle') return instance;
    return undefined;
  }

  /** Gives idle instances to those that wait, first come first served. */
  #dispatch(): void {
    for (const waiting of this.#queue) {
      const idle = this.#idleInstance();
      if (idle === undefined) return;
      waiting.run(idle);
    }
  }

  /** Starts as many instances as requests wait for, up to the maximum. */
  #startMore(): void {
    if (this.#closing) return;
    while (
      this.#starts.size < this.#queue.size &&
      this.#instances.size + this.#starts.size < this.#options.limits.maximumInstances
    ) {
      const start: Promise<void> = this.#start().catch((error: unknown) => {
        this.#starts.delete(start);
        this.#startFailed(error);
      });
      this.#starts.add(start);
      void start.then(() => this.#starts.delete(start));
    }
  }

  async #start(): Promise<void> {
    const { limits, logger, boot, language, digest } = this.#options;
    const tooLong = AbortSignal.timeout(limits.bootMs);
    let guest: Guest;
    try {
      guest = await boot(AbortSignal.any([this.#stopping.signal, tooLong]));
    } catch (error) {
      throw tooLong.aborted && !this.#stopping.signal.aborted ? this.#bootTimeout(error) : error;
    }
    this.#failing = false;
    const instance = new Instance(guest, {
      language,
      digest,
      limits,
      graceMs: limits.graceMs,
      logger,
      onStateChange: ({ state }) => {
        if (state === 'idle') this.#dispatch();
      },
    });
    logger.debug({ instance: instance.id, pid: instance.pid, language }, 'instance started');
    this.#instances.add(instance);
    void instance.ended.then((exit) => {
      this.#instances.delete(instance);
      this.#exited += 1;
      logger.debug({ instance: instance.id, language, exit, requests: instance.requests }, 'instance ended');
      this.#startMore();
    });
    if (this.#closing) await instance.end();
    else this.#dispatch();
  }

  /**
   * Where nothing is left that could serve them, those that wait are told why, rather than left to their timeouts. The
   * next request tries again; a failed start by itself does not, or a driver that cannot start would be started for ever.
   */
  #startFailed(error: unknown): void {
    if (this.#closing) return;
    this.#failing = true;
    const reason = error instanceof Error ? error : new Error(String(error));
    this.#options.logger.warn({ err: reason, language: this.language }, 'an instance could not be started');
    if (this.#instances.size === 0 && this.#starts.size === 0) this.#refuseAll(reason);
  }

  #refuseAll(error: Error): void {
    for (const waiting of this.#queue) waiting.refuse(error);
  }

  #bootTimeout(cause: unknown): BabelhostError {
    const { bootMs } = this.#options.limits;
    return new BabelhostError(
      'containerFailed',
      `The container of the ${this.language} driver did not start within ${bootMs} ms; see 'babelhost doctor', or give it more time (--boot-timeout).`,
      { language: this.language, bootMs },
      { cause },
    );
  }

  #closedError(): BabelhostError {
    return new BabelhostError('shuttingDown', `The pool of ${this.language} drivers is closing.`, {
      language: this.language,
    });
  }
}
