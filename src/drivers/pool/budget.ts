// Instances and memory that all pools may have together. Where they are used up, a pool that has more than its share gives
// an instance to one that has less.

/** A pool as the budget sees it. */
export interface BudgetHolder {
  /** Instances that run or start. */
  readonly size: number;
  /** Whether requests wait for which it would start another. */
  readonly wanting: boolean;
  /** Memory of its instances, as last measured, in bytes. */
  readonly memoryBytes: number;
  /** Starts what it wants, as far as the budget lets it. */
  startMore(): void;
  /** Ends an instance: an idle one now, or the next that becomes idle. @returns whether there is one to end */
  shed(): boolean;
}

export interface BudgetLimits {
  readonly instances: number;
  readonly memoryBytes: number;
}

export class InstanceBudget {
  readonly #limits: BudgetLimits;
  readonly #holders = new Set<BudgetHolder>();
  /** Whether a pool has been asked for an instance that has not ended yet. */
  #shedding = false;

  constructor(limits: BudgetLimits) {
    this.#limits = limits;
  }

  join(holder: BudgetHolder): void {
    this.#holders.add(holder);
  }

  leave(holder: BudgetHolder): void {
    this.#holders.delete(holder);
    this.freed();
  }

  /**
   * Whether `holder` may start an instance now. Where it may not but has less than its share, the pool that has most ends
   * one of its own. Memory does not keep a pool from its first instance: no language may wait for ever for another's.
   */
  allows(holder: BudgetHolder): boolean {
    const instances = this.#sum((each) => each.size);
    const memory = this.#sum((each) => each.memoryBytes);
    if (instances < this.#limits.instances && (memory < this.#limits.memoryBytes || holder.size === 0)) return true;
    if (!this.#shedding) this.#shedding = this.#largestBut(holder)?.shed() ?? false;
    return false;
  }

  /** An instance has ended: pools that want one may start it, the smallest first. */
  freed(): void {
    this.#shedding = false;
    const wanting = [...this.#holders].filter((holder) => holder.wanting).sort((a, b) => a.size - b.size);
    for (const holder of wanting) holder.startMore();
  }

  /** The pool with the most instances, where it has so many more than `holder` that one of them is due to that one. */
  #largestBut(holder: BudgetHolder): BudgetHolder | undefined {
    let largest: BudgetHolder | undefined;
    for (const each of this.#holders) if (each !== holder && each.size > (largest?.size ?? 0)) largest = each;
    const share = holder.size === 0 ? 1 : holder.size + 2;
    return largest !== undefined && largest.size >= share ? largest : undefined;
  }

  #sum(of: (holder: BudgetHolder) => number): number {
    let sum = 0;
    for (const holder of this.#holders) sum += of(holder);
    return sum;
  }
}
