// Hands results on in batches. Half of the files of a real tree are so small that a message for each costs host and client
// more than the parse; a large one goes alone. Whoever adds waits while more is held than a batch, so that a slow
// receiver slows the work down; and nothing is held for longer than a person would notice.

/** A batch is handed on when it holds so many bytes. */
const batchBytes = 256 * 1024;

/** What is held is handed on after this time however little it is, in milliseconds. */
const longestMs = 20;

export class OutcomeBatches<Outcome> {
  readonly #take: (batch: readonly Outcome[]) => Promise<void>;
  #held: Outcome[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  /** The handing on under way: one at a time, so that batches keep their order. */
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

  /** Lets go of what is held: nobody waits for it any more. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** Hands on all that is held, after what is on its way. Never rejects. */
  async #handOn(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#handingOn !== undefined) await this.#handingOn;
    // Another who waited may have handed it on with his own.
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
