// Hands results on in batches: half of the files of a real tree are so small that a message for each would cost host and
// client more than the parse. Adding waits while more is held than a batch, so that a slow receiver slows the work down.

/** A batch is handed on when it has this many bytes. */
const batchBytes = 256 * 1024;

/** A smaller batch is handed on after this time, in milliseconds. */
const longestMs = 20;

export class OutcomeBatches<Outcome> {
  readonly #take: (batch: readonly Outcome[]) => Promise<void>;
  #held: Outcome[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  /** One at a time, so that batches keep their order. */
  #handingOn: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** @param take receives each batch; the next one waits while it is pending */
  constructor(take: (batch: readonly Outcome[]) => Promise<void>) {
    this.#take = take;
  }

  /**
   * Adds one; resolves when there is room for more.
   * @throws what handing on threw, now or before
   */
  async add(outcome: Outcome, bytes: number): Promise<void> {
    this.#check();
    this.#held.push(outcome);
    this.#heldBytes += bytes;
    if (this.#heldBytes < batchBytes) {
      this.#timer ??= setTimeout(() => {
        void this.#handOn();
      }, longestMs);
      return;
    }
    await this.#handOn();
    this.#check();
  }

  /** Resolves when all that was added has been taken. @throws what handing on threw */
  async end(): Promise<void> {
    while (this.#held.length > 0 && this.#failure === undefined) await this.#handOn();
    await this.#handingOn;
    this.#check();
  }

  /** Drops what is held. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** Hands on all that is held, after the batch before. Never rejects. */
  async #handOn(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#handingOn !== undefined) await this.#handingOn;
    // Another call that waited may have handed it on with its own.
    if (this.#held.length === 0 || this.#failure !== undefined) return;
    const batch = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    this.#handingOn = this.#take(batch).then(
      () => undefined,
      (error: unknown) => {
        this.#failure = { error };
      },
    );
    await this.#handingOn;
    this.#handingOn = undefined;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
