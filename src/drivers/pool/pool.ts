// The pool of one driver: the queue of requests before its fleet of instances. A request whose driver died is tried once
// more; sources that kill drivers are refused for a time. Knows neither images nor the protocol.
import { BabelhostError, isBabelhostError } from '../../base/errors.ts';
import { CrashTracker, type EarlyDeath } from './crash-tracker.ts';
import { Fleet } from './fleet.ts';
import { aheadPatienceMs, type Instance } from '../process/instance.ts';
import { Latencies } from './latencies.ts';
import type { NativeAnswer } from '../process/native-protocol.ts';
import type { PoolCounts, PoolOptions, PoolRequest } from './options.ts';
import { RequestQueue, type Priority, type ClientQueue } from './request-queue.ts';
import { CancelledError, timeoutError } from '../request.ts';
import { DisplacedError } from '../process/written-request.ts';

export type { PoolCounts, PoolLimits, PoolOptions, PoolRequest } from './options.ts';

/** A request in the queue: run on an instance, or refused. */
interface Waiting {
  readonly client: ClientQueue;
  readonly priority: Priority;
  /** Whether it may be written behind another request now. */
  readonly mayGoBehind: () => boolean;
  readonly run: (instance: Instance) => void;
  readonly refuse: (error: Error) => void;
}

/** Longer requests are not written behind others: what they take is long, and what they wait for, short. */
const longestBehind = 64 * 1024;

/**
 * Nothing is written behind anything for so long after an interactive request, in milliseconds: the next one would have to
 * wait for two sources in place of one.
 */
const interactiveMs = 1000;

export class Pool {
  readonly language: string;
  readonly digest: string;
  readonly latencies = new Latencies();
  readonly #options: PoolOptions;
  readonly #queue: RequestQueue<Waiting>;
  readonly #fleet: Fleet;
  readonly #crashes: CrashTracker;
  #inFlight = 0;
  #interactiveAt = -Infinity;
  #success = 0;
  #failed = 0;
  #closing = false;
  readonly #onDrained = new Set<() => void>();

  constructor(options: PoolOptions) {
    this.#options = options;
    this.language = options.language;
    this.digest = options.digest;
    const queue = new RequestQueue<Waiting>(options.limits.queueLength);
    const inUse = (): boolean => this.#inFlight > 0;
    this.#queue = queue;
    this.#crashes = new CrashTracker(options.limits.quarantineMs, options.limits.timeoutMs);
    this.#fleet = new Fleet(options, {
      get waiting() {
        return queue.size;
      },
      get inUse() {
        return inUse();
      },
      onReady: () => {
        this.dispatch();
      },
      onFailed: (reason) => {
        this.#refuseAll(reason);
      },
    });
  }

  /** The instances that run. */
  get instances(): readonly Instance[] {
    return this.#fleet.instances;
  }

  get counts(): PoolCounts {
    const { instances } = this.#fleet;
    return {
      instances: instances.length,
      // One that has ended is listed until nothing of its container is left, and has nothing to do.
      busy: instances.filter(({ state }) => state === 'busy' || state === 'draining').length,
      starting: this.#fleet.starting,
      wanted: this.#fleet.wanted,
      waiting: this.#queue.size,
      success: this.#success,
      failed: this.#failed,
      exited: this.#fleet.exited,
    };
  }

  /** Instances that could not be started. */
  get startErrors(): number {
    return this.#fleet.startErrors;
  }

  get state(): 'idle' | 'running' | 'failing' | 'stopped' {
    if (this.#closing) return 'stopped';
    if (this.#fleet.failure !== undefined) return 'failing';
    return this.#fleet.instances.length > 0 ? 'running' : 'idle';
  }

  /**
   * Has an instance parse. A request whose driver died, or wrote what is no answer, is tried once more on another.
   * @throws BabelhostError `overloaded`, `timeout`, `quarantined`, `shuttingDown`, what Instance.request throws, and why
   * no instance could be started; CancelledError
   */
  async request(request: PoolRequest): Promise<NativeAnswer> {
    this.#inFlight += 1;
    this.#fleet.touch();
    if (request.priority === 'interactive') this.#interactiveAt = performance.now();
    try {
      this.#crashes.check(request.line, this.language);
      let answer: NativeAnswer;
      try {
        answer = await this.#submit(request);
      } catch (error) {
        if (!isBabelhostError(error, 'driverCrashed', 'driverProtocol') || this.#closing) throw error;
        this.#options.logger.info(
          { request: request.id, language: this.language, kind: error.kind },
          'trying a request once more elsewhere',
        );
        answer = await this.#submit(request);
      }
      this.#success += 1;
      this.latencies.add(performance.now() - (request.timing.deadline - request.timing.timeoutMs));
      return answer;
    } catch (error) {
      this.#failed += 1;
      throw error;
    } finally {
      this.#inFlight -= 1;
      this.#fleet.touch();
      if (this.#inFlight === 0) for (const drained of this.#onDrained) drained();
    }
  }

  /** Keeps at least the minimum of instances running from now on, requests or not. */
  warm(): void {
    this.#fleet.warm();
  }

  /** Gives idle instances to those whose turn it is. To be called also when a client that was backedUp reads again. */
  dispatch(): void {
    for (let idle = this.#fleet.idle(); idle !== undefined; idle = this.#fleet.idle()) {
      const waiting = this.#queue.next();
      if (waiting === undefined) return;
      waiting.run(idle);
    }
    this.#writeBehind();
  }

  /** Lets what is in flight or waiting finish, each in its own time but within `graceMs`, then ends all instances. */
  async drain(graceMs?: number): Promise<void> {
    if (this.#inFlight > 0) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#onDrained.add(resolve);
        if (graceMs !== undefined) timer = setTimeout(resolve, graceMs);
      });
      clearTimeout(timer);
    }
    await this.close();
  }

  /** Ends all instances now; what waits or is in flight fails. Resolves when nothing is left. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#refuseAll(this.#closedError());
    await this.#fleet.close();
  }

  /** Gives instances that are at a batch's request another, so that they need not wait for the host between the two. */
  #writeBehind(): void {
    for (let busy = this.#fleet.withRoomBehind(); busy !== undefined; busy = this.#fleet.withRoomBehind()) {
      if (this.#queue.has('interactive') || performance.now() - this.#interactiveAt < interactiveMs) return;
      const waiting = this.#queue.next(({ mayGoBehind }) => mayGoBehind());
      if (waiting === undefined) return;
      waiting.run(busy);
    }
  }

  /** @param wasDisplaced whether it waited behind another already: it then waits for an instance that is idle */
  #submit(request: PoolRequest, wasDisplaced = false): Promise<NativeAnswer> {
    if (this.#closing) throw this.#closedError();
    if (request.signal?.aborted === true) throw new CancelledError();
    const idle = this.#queue.size === 0 && !request.client.backedUp ? this.#fleet.idle() : undefined;
    if (idle !== undefined) return this.#run(idle, request);
    this.#failFast();
    return this.#wait(request, wasDisplaced);
  }

  /** Where no instance runs and none may be started yet because the driver does not work, the reason is told at once. */
  #failFast(): void {
    const { failure } = this.#fleet;
    if (failure === undefined || failure.retryAfterMs === 0 || this.#fleet.size > 0) return;
    const { reason, retryAfterMs } = failure;
    if (!isBabelhostError(reason)) throw reason;
    throw new BabelhostError(reason.kind, reason.message, { ...reason.data, retryAfterMs }, { cause: reason });
  }

  #wait(request: PoolRequest, wasDisplaced: boolean): Promise<NativeAnswer> {
    const { line, timing, signal, client, priority } = request;
    const span = request.span?.child('queue');
    return new Promise<NativeAnswer>((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#queue.delete(waiting);
      };
      const waiting: Waiting = {
        client,
        priority,
        mayGoBehind: () =>
          priority === 'batch' &&
          !wasDisplaced &&
          line.length <= longestBehind &&
          timing.deadline - performance.now() > 2 * aheadPatienceMs,
        // Written in the same turn as the instance became idle, so that nobody else can take it in between.
        run: (instance) => {
          leave();
          span?.end();
          this.#run(instance, request).then(resolve, reject);
        },
        refuse: (error) => {
          leave();
          span?.end(error);
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
      this.#queue.add(waiting)?.refuse(this.#overloaded());
      // An instance may be idle: those before this one may all wait for clients that do not read.
      this.dispatch();
      this.#fleet.startMore();
    });
  }

  /** Runs a request on an instance, and draws the conclusions from how it ended. */
  async #run(instance: Instance, asked: PoolRequest): Promise<NativeAnswer> {
    const { id, line, timing, signal, span: request } = asked;
    let startedAt = performance.now();
    const onBegun = (): void => {
      startedAt = performance.now();
    };
    const span = request?.child('instance', { 'babelhost.instance': instance.id, 'babelhost.image': this.digest });
    try {
      const answer = await instance.request({ line, timing, signal, onBegun });
      this.#fleet.worked();
      this.#crashes.answered();
      span?.end();
      return answer;
    } catch (error) {
      span?.end(error);
      if (error instanceof DisplacedError) return await this.#submit(asked, true);
      if (isBabelhostError(error)) {
        const { kind } = error;
        this.#options.logger.debug({ request: id, instance: instance.id, kind }, 'a request failed on its instance');
      }
      const early = this.#crashes.failed(error, instance, line, performance.now() - startedAt);
      if (early !== undefined) this.#diedEarly(early);
      throw error;
    }
  }

  #diedEarly({ reason }: EarlyDeath): void {
    this.#fleet.failed(reason);
    // Those that wait would each have to wait for a start that is put off further and further.
    if (reason !== undefined && !this.#fleet.alive) this.#refuseAll(reason);
  }

  #refuseAll(error: Error): void {
    for (const waiting of [...this.#queue]) waiting.refuse(error);
  }

  #overloaded(): BabelhostError {
    const limit = this.#options.limits.queueLength;
    const retryAfterMs = Math.ceil(this.latencies.percentiles()?.p50 ?? 1000);
    return new BabelhostError(
      'overloaded',
      `${limit} requests wait for the ${this.language} driver already, which is the limit; try again in ${retryAfterMs} ms.`,
      { language: this.language, waiting: this.#queue.size, limit, retryAfterMs },
    );
  }

  #closedError(): BabelhostError {
    return new BabelhostError('shuttingDown', `The pool of ${this.language} drivers is closing.`, {
      language: this.language,
    });
  }
}
