// The instances of one driver: started for work and as the scaling policy wants, within the limits of this pool and the
// budget of all; retired when they are worn out or not needed; replaced when they die. Of requests it knows the number.
import { Backoff } from './backoff.ts';
import type { BudgetHolder } from './budget.ts';
import type { DriverProcess } from '../process/driver-process.ts';
import { Instance } from '../process/instance.ts';
import type { PoolOptions } from './options.ts';
import { StartingInstance } from './starting-instance.ts';
import { defaultPolicy, type ScalingPolicy } from './scaling.ts';

/** A fleet's pool. */
export interface FleetOwner {
  /** Requests that wait for an instance. */
  readonly waiting: number;
  /** Whether requests wait or are being answered. */
  readonly inUse: boolean;
  /** An instance is ready for a request. */
  onReady(): void;
  /** No instance could be started, and none is left. */
  onFailed(reason: Error): void;
}

/** The memory of instances is measured at each tenth tick of the scaling policy. */
const ticksBetweenMeasures = 10;

export class Fleet implements BudgetHolder {
  readonly #options: PoolOptions;
  readonly #owner: FleetOwner;
  readonly #policy: ScalingPolicy;
  readonly #instances = new Set<Instance>();
  readonly #starts = new Set<StartingInstance>();
  readonly #stopping = new AbortController();
  #target = 0;
  #warm = false;
  #shedNext = false;
  #exited = 0;
  #startErrors = 0;
  /** While the driver does not work: when it is tried again, and why it does not where that is known. */
  #backoff: Backoff | undefined;
  #failure: Error | undefined;
  #ticker: NodeJS.Timeout | undefined;
  #nextTry: NodeJS.Timeout | undefined;
  #ticks = 0;
  #usedAt = performance.now();

  constructor(options: PoolOptions, owner: FleetOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#policy = defaultPolicy(options.limits);
    options.budget.join(this);
  }

  /** The instances that run. */
  get instances(): readonly Instance[] {
    return [...this.#instances];
  }

  /** Instances that run or start. */
  get size(): number {
    return this.#instances.size + this.#starts.size;
  }

  /** Whether an instance runs that may still work, or one is being started. */
  get alive(): boolean {
    return this.#starts.size > 0 || this.instances.some(({ state }) => state !== 'ended');
  }

  /** The instances whose containers boot. */
  get starting(): readonly StartingInstance[] {
    return [...this.#starts];
  }

  /** How many should run, by the policy and the work there is. */
  get wanted(): number {
    return this.#closing ? 0 : Math.max(this.#target, this.#demand());
  }

  /** Instances that have ended so far. */
  get exited(): number {
    return this.#exited;
  }

  /** Starts that have failed so far. */
  get startErrors(): number {
    return this.#startErrors;
  }

  get wanting(): boolean {
    return this.#owner.waiting > this.#starts.size && this.size < this.#options.limits.maximumInstances;
  }

  get memoryBytes(): number {
    return this.instances.reduce((sum, instance) => sum + instance.memoryBytes, 0);
  }

  /** Why the driver does not work, while it does not: with the time after which it is tried again, in milliseconds. */
  get failure(): { readonly reason: Error; readonly retryAfterMs: number } | undefined {
    if (this.#failure === undefined) return undefined;
    return { reason: this.#failure, retryAfterMs: Math.ceil(this.#backoff?.remainingMs ?? 0) };
  }

  /** An instance that is ready for a request. */
  idle(): Instance | undefined {
    for (const instance of this.#instances) if (instance.state === 'idle' && !instance.retiring) return instance;
    return undefined;
  }

  /** Notes that there is work: the time without requests starts anew. */
  touch(): void {
    this.#usedAt = performance.now();
  }

  /** An instance has answered: the driver works. */
  worked(): void {
    this.#failure = undefined;
    this.#backoff = undefined;
  }

  /** The driver does not work: the next start waits. With a `reason`, requests are refused with it until then. */
  failed(reason?: Error): void {
    this.#failure = reason ?? this.#failure;
    this.#backoff ??= new Backoff();
    this.#backoff.failed();
  }

  /** Keeps the minimum of instances running from now on, work or not. */
  warm(): void {
    this.#warm = true;
    this.#target = Math.max(this.#target, this.#options.limits.minimumInstances);
    this.startMore();
  }

  /** Starts as many instances as there is work for and the policy wants, as far as limits and back-off let it. */
  startMore(): void {
    if (this.#closing) return;
    const remainingMs = this.#backoff?.remainingMs ?? 0;
    if (remainingMs > 0) {
      if (this.wanted > this.size) this.#tryLater(remainingMs);
      return;
    }
    while (this.size < this.wanted && this.#options.budget.allows(this)) {
      const start: StartingInstance = new StartingInstance(this.#options, this.#stopping.signal, (driver) =>
        this.#run(start, driver),
      );
      this.#starts.add(start);
      start.over.catch((error: unknown) => {
        this.#starts.delete(start);
        this.#startFailed(start, error);
      });
    }
    this.#ticker ??= setInterval(() => {
      this.#tick();
    }, this.#options.limits.tickMs).unref();
  }

  shed(): boolean {
    const idle = this.idle();
    if (idle !== undefined) idle.retire();
    else this.#shedNext = this.#instances.size > 0;
    return idle !== undefined || this.#shedNext;
  }

  /** Ends all instances now. Resolves when nothing is left. */
  async close(): Promise<void> {
    clearInterval(this.#ticker);
    clearTimeout(this.#nextTry);
    this.#stopping.abort();
    await Promise.allSettled([...this.#starts].map(({ over }) => over));
    await Promise.all([...this.#instances].map((instance) => instance.end()));
    this.#options.budget.leave(this);
  }

  get #closing(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** As many instances as there is work for. */
  #demand(): number {
    const working = this.instances.filter(({ state, retiring }) => state !== 'idle' && !retiring).length;
    return Math.min(working + this.#owner.waiting, this.#options.limits.maximumInstances);
  }

  #tryLater(delayMs: number): void {
    this.#nextTry ??= setTimeout(() => {
      this.#nextTry = undefined;
      this.startMore();
    }, delayMs);
  }

  /** A driver has booted. */
  async #run(start: StartingInstance, driver: DriverProcess): Promise<void> {
    const { limits, logger, language } = this.#options;
    this.#starts.delete(start);
    const instance = new Instance(driver, {
      ...this.#options,
      graceMs: limits.graceMs,
      onFree: (free) => {
        this.#onFree(free);
      },
    });
    logger.debug({ instance: instance.id, pid: instance.pid, language }, 'instance started');
    this.#instances.add(instance);
    void instance.ended.then((exit) => {
      this.#instances.delete(instance);
      this.#exited += 1;
      logger.debug({ instance: instance.id, language, exit, requests: instance.requests }, 'instance ended');
      this.#options.budget.freed();
      this.startMore();
    });
    if (this.#closing || start.endedByHost) await instance.end();
    else this.#owner.onReady();
  }

  #onFree(instance: Instance): void {
    if (this.#shedNext || this.#isWornOut(instance)) {
      this.#shedNext = false;
      instance.retire();
    } else this.#owner.onReady();
  }

  /** Parsers leak: an instance that has done much, or holds much, is replaced. */
  #isWornOut({ requests, startedAt, memoryBytes }: Instance): boolean {
    const { retireRequests, retireAgeMs, retireMemoryBytes } = this.#options.limits;
    return (
      (retireRequests > 0 && requests >= retireRequests) ||
      (retireAgeMs > 0 && performance.now() - startedAt >= retireAgeMs) ||
      (retireMemoryBytes > 0 && memoryBytes >= retireMemoryBytes)
    );
  }

  #startFailed(start: StartingInstance, error: unknown): void {
    if (this.#closing) return;
    if (start.endedByHost) {
      // It says nothing of the driver, and another takes its place where there is work.
      this.#options.budget.freed();
      this.startMore();
      return;
    }
    this.#startErrors += 1;
    const reason = error instanceof Error ? error : new Error(String(error));
    this.failed(reason);
    this.#options.logger.warn({ err: reason, language: this.#options.language }, 'an instance could not be started');
    if (this.size === 0) this.#owner.onFailed(reason);
    this.#options.budget.freed();
  }

  #tick(): void {
    const { limits } = this.#options;
    const running = this.instances.filter(({ retiring }) => !retiring);
    const idle = running.filter(({ state }) => state === 'idle');
    const unused = limits.idleMs > 0 && performance.now() - this.#usedAt >= limits.idleMs && !this.#owner.inUse;
    const wanted = this.#policy({ total: running.length, idle: idle.length, waiting: this.#owner.waiting });
    this.#target = unused && !this.#warm ? 0 : wanted;
    for (const instance of idle.slice(0, Math.max(running.length - this.wanted, 0))) instance.retire();
    this.#ticks += 1;
    for (const instance of this.#instances) void instance.endIfOutOfMemory();
    if (this.#ticks % ticksBetweenMeasures === 0) this.#measure();
    this.startMore();
    if (this.size > 0 || this.wanted > 0) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }

  #measure(): void {
    for (const instance of this.#instances) {
      instance.measure().then(
        () => {
          if (instance.state === 'idle' && this.#isWornOut(instance)) instance.retire();
        },
        // It ended while it was measured.
        () => undefined,
      );
    }
  }
}
