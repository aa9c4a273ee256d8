// Work on one thing after another: what concerns the same key waits for what came before, different keys do not wait.

export class SerialQueues {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Does `work` when all earlier work on `key` is done, whatever became of it. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const result = before.then(work, work);
    this.#last.set(key, result);
    try {
      return await result;
    } finally {
      if (this.#last.get(key) === result) this.#last.delete(key);
    }
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled(this.#last.values());
  }
}
