// The queue of a pool. Interactive requests go before those of batches, and clients take turns. None starves: a batch gets
// every ninth turn however many interactive requests wait, and a client that fills the queue cannot keep others out of it.

/** A client. While its stream is full it is passed over. */
export interface ClientQueue {
  readonly backedUp: boolean;
}

export type Priority = 'interactive' | 'batch';

export interface Queued {
  readonly client: ClientQueue;
  readonly priority: Priority;
}

/** The most interactive requests in a row while one of a batch waits. */
const interactiveTurns = 8;

export class RequestQueue<Item extends Queued> {
  readonly #limit: number;
  /** By client, in the order of their turns; each client's requests in the order in which they came. */
  readonly #waiting: Record<Priority, Map<ClientQueue, Set<Item>>> = { interactive: new Map(), batch: new Map() };
  #size = 0;
  /** Interactive requests that went one after another while one of a batch waited. */
  #inARow = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Adds a request.
   * @returns what was evicted for it, where the queue is full: the newest of the client that has most in it, or the new
   * one itself where that is its own client
   */
  add(item: Item): Item | undefined {
    const byClient = this.#waiting[item.priority];
    const items = byClient.get(item.client);
    if (items === undefined) byClient.set(item.client, new Set([item]));
    else items.add(item);
    this.#size += 1;
    if (this.#size <= this.#limit) return undefined;
    let largest = item.client;
    for (const each of Object.values(this.#waiting)) {
      for (const client of each.keys()) if (this.#count(client) > this.#count(largest)) largest = client;
    }
    const evicted = largest === item.client ? item : this.#newestOf(largest);
    if (evicted !== undefined) this.delete(evicted);
    return evicted;
  }

  /** Whether any of a priority wait. */
  has(priority: Priority): boolean {
    return this.#waiting[priority].size > 0;
  }

  /**
   * Takes the request whose turn it is; undefined where none waits that can be answered.
   * @param suits whether it may be taken now; where not, none is taken
   */
  next(suits: (item: Item) => boolean = () => true): Item | undefined {
    const order: readonly Priority[] =
      this.#inARow >= interactiveTurns ? ['batch', 'interactive'] : ['interactive', 'batch'];
    for (const priority of order) {
      const item = this.#firstOf(priority);
      if (item === undefined) continue;
      if (!suits(item)) return undefined;
      this.delete(item);
      // The client goes to the end of the line, with its other requests.
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
    return true;
  }

  /** All that wait. */
  *[Symbol.iterator](): IterableIterator<Item> {
    for (const byClient of Object.values(this.#waiting)) for (const items of byClient.values()) yield* items;
  }

  /** How many requests of a client wait. */
  #count(client: ClientQueue): number {
    return Object.values(this.#waiting).reduce((sum, byClient) => sum + (byClient.get(client)?.size ?? 0), 0);
  }

  #firstOf(priority: Priority): Item | undefined {
    for (const [client, items] of this.#waiting[priority]) {
      if (client.backedUp) continue;
      for (const item of items) return item;
    }
    return undefined;
  }

  /** The newest request of a client, of a batch where it has any. */
  #newestOf(client: ClientQueue): Item | undefined {
    for (const priority of ['batch', 'interactive'] as const) {
      const items = this.#waiting[priority].get(client);
      if (items !== undefined) return [...items].pop();
    }
    return undefined;
  }
}
