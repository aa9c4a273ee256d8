// The pool of one driver: the queue of requests before its fleet of instances. A request whose driver died is tried once
// more; sources that kill drivers are refused for a time. Knows neither images nor the protocol.
import { BabelhostError, isBabelhostError } from '../../base/errors.ts';
import { CrashTracker } from './crash-tracker.ts';
import { Fleet } from './fleet.ts';
import type { Instance } from '../process/instance.ts';
import type { NativeAnswer } from '../process/native-protocol.ts';
import type { PoolOptions, PoolRequest } from './options.ts';
import { DisplacedError, interactiveMs, pipelinedUntil } from '../process/pipelining.ts';
import type { StartingInstance } from './starting-instance.ts';
import { RequestQueue, type Priority, type ClientQueue } from './request-queue.ts';
import { CancelledError, queueTimeout, waitingFromNow } from '../request.ts';

/** A request in the queue: run on an instance, or refused. */
interface Waiting {
  readonly client: ClientQueue;
  readonly priority: Priority;
  /** Until when it may be written behind another request. */
  readonly pipelinedUntil: number;
  readonly run: (instance: Instance) => void;
  readonly refuse: (error: Error) => void;
}

/** Percentiles are those of the last this many latencies. */
const latenciesKept = 1024;

export class Pool {
  readonly language: string;
  readonly digest: string;
  readonly #options: PoolOptions;
  readonly #queue: RequestQueue<Waiting>;
  readonly #fleet: Fleet;
  /** Made when a request first fails. */
  #crashes: CrashTracker | undefined;
  #inFlight = 0;
  /** When the last interactive request came. */
  #interactiveAt = -Infinity;
  #success = 0;
  #failed = 0;
  readonly #latencies: number[] = [];
  #closing = false;
  readonly #onDrained = new Set<() => void>();

  constructor(options: PoolOptions) {
    this.#options = options;
    this.language = options.language;
    this.digest = options.digest;
    const queue = new RequestQueue<Waiting>(options.limits.queueLength);
    const inUse = (): boolean => this.#inFlight > 0;
    this.#queue = queue;
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

  /** The instances whose containers boot. */
  get starting(): readonly StartingInstance[] {
    return this.#fleet.starting;
  }

  get counts() {
    const { instances } = this.#fleet;
    return {
      instances: instances.length,
      // One that has ended is listed until nothing of its container is left, and has nothing to do.
      busy: instances.filter(({ state }) => state === 'busy' || state === 'draining').length,
      starting: this.#fleet.starting.length,
      wanted: this.#fleet.wanted,
      waiting: this.#queue.size,
      success: this.#success,
      failed: this.#failed,
      exited: this.#fleet.exited,
    };
  }

  /** Percentiles of the latencies of the last 1,024 answers, in milliseconds; undefined before the first. */
  get latencies(): { readonly p50: number; readonly p99: number } | undefined {
    if (this.#success === 0) return undefined;
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const at = (part: number): number => sorted[Math.floor(part * sorted.length)] ?? 0;
    return { p50: at(0.5), p99: at(0.99) };
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
    const startedAt = performance.now();
    this.#inFlight += 1;
    this.#fleet.touch();
    if (request.priority === 'interactive') this.#interactiveAt = performance.now();
    try {
      this.#crashes?.check(request.line, this.language);
      let answer: NativeAnswer;
      try {
        answer = await this.#submit(request);
      } catch (error) {
        if (!isBabelhostError(error, 'driverCrashed', 'driverProtocol') || this.#closing) throw error;
        this.#options.logger.info(
          { request: request.id, language: this.language, kind: error.kind },
          'trying a request once more elsewhere',
        );
        answer = await this.#submit({ ...request, timing: waitingFromNow(request.timing) });
      }
      this.#latencies[this.#success % latenciesKept] = performance.now() - startedAt;
      this.#success += 1;
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

  /** Gives requests of the queue to instances. To be called also when a client that was backed up reads again. */
  dispatch(): void {
    for (let idle = this.#fleet.idle(); idle !== undefined; idle = this.#fleet.idle()) {
      const waiting = this.#queue.next();
      if (waiting === undefined) return;
      waiting.run(idle);
    }
    const now = performance.now();
    if (this.#queue.has('interactive') || now - this.#interactiveAt < interactiveMs) return;
    for (const busy of this.#fleet.instances) {
      if (!busy.hasRoomBehind) continue;
      const waiting = this.#queue.next((each) => now < each.pipelinedUntil);
      if (waiting === undefined) return;
      waiting.run(busy);
    }
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

  /** @param behindUntil until when it may be written behind another request, where that is not as pipelinedUntil has it */
  #submit(request: PoolRequest, behindUntil?: number): Promise<NativeAnswer> {
    if (this.#closing) throw this.#closedError();
    if (request.signal?.aborted === true) throw new CancelledError();
    const idle = this.#queue.size === 0 && !request.client.backedUp ? this.#fleet.idle() : undefined;
    if (idle !== undefined) return this.#run(idle, request);
    this.#failFast();
    return this.#wait(request, behindUntil);
  }

  /** Throws why the driver does not work, where no instance runs and none may be started yet. */
  #failFast(): void {
    const { failure } = this.#fleet;
    if (failure === undefined || failure.retryAfterMs === 0 || this.#fleet.size > 0) return;
    const { reason, retryAfterMs } = failure;
    if (!isBabelhostError(reason)) throw reason;
    throw new BabelhostError(reason.kind, reason.message, { ...reason.data, retryAfterMs }, { cause: reason });
  }

  #wait(request: PoolRequest, behindUntil = pipelinedUntil(request)): Promise<NativeAnswer> {
    const { timing, signal, client, priority } = request;
    const span = request.span?.child('queue');
    request.onPhase?.('waiting');
    const { promise, resolve, reject } = Promise.withResolvers<NativeAnswer>();
    const leave = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      this.#queue.delete(waiting);
    };
    const waiting: Waiting = {
      client,
      priority,
      pipelinedUntil: behindUntil,
      // Written in the same turn as the instance became idle, so that no other request can take it in between.
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
        waiting.refuse(queueTimeout(timing, 'waiting for an instance'));
      },
      Math.max(timing.queueDeadline - performance.now(), 0),
    );
    signal?.addEventListener('abort', abort, { once: true });
    this.#queue.add(waiting)?.refuse(this.#overloaded());
    // An instance may be idle: those before this one may all wait for clients that do not read.
    this.dispatch();
    this.#fleet.startMore();
    return promise;
  }

  /** Runs a request on an instance; a failure may be the driver's or the source's fault. */
  async #run(instance: Instance, request: PoolRequest): Promise<NativeAnswer> {
    const { id, line, timing, signal } = request;
    let startedAt = performance.now();
    const onBegun = (): void => {
      startedAt = performance.now();
      request.onPhase?.('parsing');
    };
    const span = request.span?.child('instance', { 'babelhost.instance': instance.id, 'babelhost.image': this.digest });
    try {
      const answer = await instance.request({ line, timing, signal, onBegun });
      this.#fleet.worked();
      this.#crashes?.answered();
      span?.end();
      return answer;
    } catch (error) {
      span?.end(error);
      if (error instanceof DisplacedError) return await this.#submit(request, -Infinity);
      if (isBabelhostError(error)) {
        const { kind } = error;
        this.#options.logger.debug({ request: id, instance: instance.id, kind }, 'a request failed on its instance');
      }
      this.#crashes ??= new CrashTracker(this.#options.limits);
      const early = this.#crashes.failed(error, instance, line, performance.now() - startedAt);
      if (early !== undefined) this.#failDriver(early.reason);
      throw error;
    }
  }

  /** An instance ended before it ever answered. @param reason set once that is the driver's fault */
  #failDriver(reason: BabelhostError | undefined): void {
    this.#fleet.failed(reason);
    // Those that wait would each have to wait for a start that is put off further and further.
    if (reason !== undefined && !this.#fleet.alive) this.#refuseAll(reason);
  }

  #refuseAll(error: Error): void {
    for (const waiting of [...this.#queue]) waiting.refuse(error);
  }

  #overloaded(): BabelhostError {
    const limit = this.#options.limits.queueLength;
    const retryAfterMs = Math.ceil(this.latencies?.p50 ?? 1000);
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
