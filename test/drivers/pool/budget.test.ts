import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InstanceBudget, type BudgetHolder } from '../../../src/drivers/pool/budget.ts';

/** A pool that wants as many instances as it is told, each of so much memory. */
class Holder implements BudgetHolder {
  size = 0;
  wants = 0;
  readonly #budget: InstanceBudget;
  readonly #each: number;

  constructor(budget: InstanceBudget, each = 1) {
    this.#budget = budget;
    this.#each = each;
    budget.join(this);
  }

  get wanting(): boolean {
    return this.size < this.wants;
  }

  get memoryBytes(): number {
    return this.size * this.#each;
  }

  startMore(): void {
    while (this.wanting && this.#budget.allows(this)) this.size += 1;
  }

  shed(): boolean {
    if (this.size === 0) return false;
    // As a real one: the instance ends a little later.
    queueMicrotask(() => {
      this.size -= 1;
      this.#budget.freed();
    });
    return true;
  }

  want(count: number): void {
    this.wants = count;
    this.startMore();
  }
}

/** Ticks: every pool asks again, and what is shed ends. */
async function settle(holders: readonly Holder[]): Promise<void> {
  for (let tick = 0; tick < 50; tick += 1) {
    for (const holder of holders) holder.startMore();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('what all pools may have together', () => {
  it('goes to whoever wants it first', () => {
    const budget = new InstanceBudget({ instances: 4, memoryBytes: Infinity });
    const one = new Holder(budget);
    one.want(10);
    expect(one.size).toBe(4);
  });

  it('is shared: never exceeded, nobody who wants one is without, and none has two more than another who wants more', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 12 }),
        fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 5 }),
        async (instances, wants) => {
          fc.pre(wants.length <= instances);
          const budget = new InstanceBudget({ instances, memoryBytes: Infinity });
          const holders = wants.map(() => new Holder(budget));
          for (const [index, holder] of holders.entries()) holder.want(wants[index] ?? 0);
          await settle(holders);
          const sizes = holders.map(({ size }) => size);
          expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(instances);
          for (const holder of holders) {
            if (holder.wants > 0) expect(holder.size).toBeGreaterThan(0);
            if (holder.wanting) expect(Math.max(...sizes) - holder.size).toBeLessThanOrEqual(1);
          }
        },
      ),
    );
  });

  it('bounds memory too, but for the first instance of each', async () => {
    const budget = new InstanceBudget({ instances: 100, memoryBytes: 40 });
    const [one, other] = [new Holder(budget, 10), new Holder(budget, 10)] as const;
    one.want(10);
    expect(one.size).toBe(4);
    other.want(3);
    expect(other.size).toBe(1);
    await settle([one, other]);
    expect(one.memoryBytes + other.memoryBytes).toBeLessThanOrEqual(50);
    expect(other.size).toBeGreaterThanOrEqual(1);
  });

  it('goes to others when a pool leaves', () => {
    const budget = new InstanceBudget({ instances: 3, memoryBytes: Infinity });
    const [one, other] = [new Holder(budget), new Holder(budget)] as const;
    one.want(3);
    other.wants = 3;
    budget.leave(one);
    expect(other.size).toBe(3);
  });
});
