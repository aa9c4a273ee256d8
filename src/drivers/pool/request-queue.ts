// The queue before a pool. Interactive requests go before those of batches, clients take turns, and nobody starves: a
// batch gets every ninth turn however many interactive requests wait, and a client that fills the queue cannot keep
// another out of it.

/** Who asks. A client whose stream is full is passed over until it has read what it was sent. */
export interface ClientQueue {
  readonly backedUp: boolean;
}

export type Priority = 'interactive' | 'batch';

export interface Queued {
  readonly client: ClientQueue;
  readonly priority: Priority;
}

/** How many interactive requests may go before one of a batch that waits. */
const interactiveTurns = 8;

export class RequestQueue<Item extends Queued> {
  readonly #limit: number;
  /** By client, in the order of their turns; each client's requests in the order they came. */
  readonly #waiting: Record<Priority, Map<ClientQueue, Set<Item>>> = { interactive: new Map(), batch: new Map() };
  readonly #byClient = new Map<ClientQueue, number>();
  #size = 0;
  #inARow = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Adds a request.
   * @returns what had to leave for it, so that the queue stays within its limit: an item of the client that has most in
   * it, or the new one itself where that is its own; undefined where there was room
   */
  add(item: Item): Item | undefined {
    this.#insert(item);
    if (this.#size <= this.#limit) return undefined;
    const [largest] = [...this.#byClient].reduce((most, each) => (each[1] > most[1] ? each : most));
    const evicted = this.#byClient.get(item.client) === this.#byClient.get(largest) ? item : this.#newestOf(largest);
    if (evicted !== undefined) this.delete(evicted);
    return evicted;
  }

  /** Whether any of a priority wait. */
  has(priority: Priority): boolean {
    return this.#waiting[priority].size > 0;
  }

  /**
   * Takes the request whose turn it is; undefined where none waits that can be answered.
   * @param suits whether it may be taken now: where it may not, nothing is
   */
  next(suits: (item: Item) => boolean = () => true): Item | undefined {
    const order: readonly Priority[] =
      this.#inARow >= interactiveTurns ? ['batch', 'interactive'] : ['interactive', 'batch'];
    for (const priority of order) {
      const item = this.#firstOf(priority);
      if (item === undefined) continue;
      if (!suits(item)) return undefined;
      this.delete(item);
      // The client goes to the end of the line, with whatever else it has waiting.
      const rest = this.#waiting[priority].get(item.client);
      if (rest !== undefined) {
        this.#waiting[priority].delete(item.client);
        this.#waiting[priority].set(item.client, rest);
      }
      this.#inARow = priority === 'interactive' && this.#waiting.batch.size > 0 ? this.#inARow + 1 : 0;
      return item;
    }
    return undefined;
  }

  /** Removes a request, where it still waits. */
  delete(item: Item): boolean {
    const byClient = this.#waiting[item.priority];
    const items = byClient.get(item.client);
    if (items?.delete(item) !== true) return false;
    if (items.size === 0) byClient.delete(item.client);
    this.#size -= 1;
    const count = (this.#byClient.get(item.client) ?? 1) - 1;
    if (count === 0) this.#byClient.delete(item.client);
    else this.#byClient.set(item.client, count);
    return true;
  }

  /** All that wait. */
  *[Symbol.iterator](): IterableIterator<Item> {
    for (const byClient of Object.values(this.#waiting)) for (const items of byClient.values()) yield* items;
  }

  #insert(item: Item): void {
    const byClient = this.#waiting[item.priority];
    const items = byClient.get(item.client);
    if (items === undefined) byClient.set(item.client, new Set([item]));
    else items.add(item);
    this.#size += 1;
    this.#byClient.set(item.client, (this.#byClient.get(item.client) ?? 0) + 1);
  }

  #firstOf(priority: Priority): Item | undefined {
    for (const [client, items] of this.#waiting[priority]) {
      if (client.backedUp) continue;
      for (const item of items) return item;
    }
    return undefined;
  }

  /** What a client asked last, of a batch rather than interactively. */
  #newestOf(client: ClientQueue): Item | undefined {
    for (const priority of ['batch', 'interactive'] as const) {
      const items = this.#waiting[priority].get(client);
      if (items !== undefined) return [...items].pop();
    }
    return undefined;
  }
}
