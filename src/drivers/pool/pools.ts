// The pools of all drivers, one for each installed image that was asked for. When a driver is updated or removed, its old
// pool finishes its requests and goes; new requests go to the new image's pool.
import { BabelhostError } from '../../base/errors.ts';
import { InstanceBudget } from './budget.ts';
import type { Driver } from '../installed/installed-drivers.ts';
import type { Instance } from '../process/instance.ts';
import type { DriverLimits } from '../limits.ts';
import type { PoolOptions } from './options.ts';
import { Pool } from './pool.ts';
import type { StartingInstance } from './starting-instance.ts';

export class Pools {
  readonly #make: (driver: Driver) => Omit<PoolOptions, 'budget' | 'limits'>;
  readonly #limits: DriverLimits;
  readonly #getReady: () => void;
  readonly #budget: InstanceBudget;
  /** The pools that take requests, by language. */
  readonly #active = new Map<string, Pool>();
  /** Pools that finish their requests, until they are closed. */
  readonly #retired = new Map<Pool, Promise<void>>();
  /** Languages whose pools keep their minimum of instances without requests. */
  readonly #warm = new Set<string>();
  #ready = false;
  #phase: 'open' | 'draining' | 'closed' = 'open';

  /** @param getReady begins what the first instance of any driver needs; must not throw */
  constructor(
    limits: DriverLimits,
    make: (driver: Driver) => Omit<PoolOptions, 'budget' | 'limits'>,
    getReady: () => void = () => undefined,
  ) {
    this.#limits = limits;
    this.#make = make;
    this.#getReady = getReady;
    this.#budget = new InstanceBudget({ instances: limits.totalInstances, memoryBytes: limits.totalMemoryBytes });
  }

  /** Begins what all instances need, while the driver for the first request is looked up. */
  getReady(): void {
    if (this.#ready || this.#phase === 'closed') return;
    this.#ready = true;
    this.#getReady();
  }

  /**
   * The pool of a driver, made when it is first asked for.
   * @throws BabelhostError `shuttingDown` once all are closed
   */
  of(driver: Driver): Pool {
    if (this.#phase === 'closed')
      throw new BabelhostError('shuttingDown', 'The host is shutting down and starts no more drivers.');
    const active = this.#active.get(driver.language);
    if (active !== undefined) {
      if (active.digest === driver.digest) return active;
      this.#retire(active);
    }
    const pool = new Pool({ ...this.#make(driver), limits: this.#limits, budget: this.#budget });
    this.#active.set(driver.language, pool);
    if (this.#warm.has(driver.language)) pool.warm();
    return pool;
  }

  /** Keeps the minimum of a driver's instances running from now on, and of the drivers that replace it. */
  warm(driver: Driver): void {
    this.#warm.add(driver.language);
    this.of(driver).warm();
  }

  /** A language's image was replaced: the pool of the new one is made now where it is to be warm. */
  replaced(driver: Driver): void {
    // A request may have come before this call, and made the new one's pool.
    if (this.#active.get(driver.language)?.digest !== driver.digest) this.retire(driver.language);
    if (this.#warm.has(driver.language)) this.of(driver);
  }

  /** Gives instances to requests that waited for a client to read. */
  dispatch(): void {
    for (const pool of this.all) pool.dispatch();
  }

  /** Lets the pool of a language finish and closes it: its driver was removed. */
  retire(language: string): void {
    const pool = this.#active.get(language);
    if (pool === undefined) return;
    this.#active.delete(language);
    this.#retire(pool);
  }

  /** Retires a driver's pool that fails because its image is gone: should the image come back, it gets a new one. */
  abandon({ language, digest }: Driver): void {
    const pool = this.#active.get(language);
    if (pool?.digest === digest && pool.state === 'failing') this.retire(language);
  }

  /** All pools, with those that finish. */
  get all(): readonly Pool[] {
    return [...this.#active.values(), ...this.#retired.keys()];
  }

  /** The instances that run. */
  get instances(): readonly Instance[] {
    return this.all.flatMap((pool) => pool.instances);
  }

  /** The instances whose containers boot. */
  get starting(): readonly StartingInstance[] {
    return this.all.flatMap((pool) => pool.starting);
  }

  /** Whether all are ending, and not one alone whose image was replaced or removed. */
  get ending(): boolean {
    return this.#phase !== 'open';
  }

  /** Finishes what is in flight within `graceMs`, then ends everything. */
  async drain(graceMs: number): Promise<void> {
    if (this.#phase === 'open') this.#phase = 'draining';
    await Promise.all(this.all.map((pool) => pool.drain(graceMs)));
  }

  /** Ends everything now. */
  async close(): Promise<void> {
    this.#phase = 'closed';
    await Promise.all(this.all.map((pool) => pool.close()));
    await Promise.all(this.#retired.values());
  }

  #retire(pool: Pool): void {
    // Without a limit of time: each request has its own.
    const gone = pool.drain().finally(() => {
      this.#retired.delete(pool);
    });
    this.#retired.set(pool, gone);
  }
}
