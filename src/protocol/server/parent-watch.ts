// LSP 3.17, "Initialize Request": the server ends when the process that `initialize` names does.

/** How often it is looked whether it still lives, in milliseconds. */
const checkMs = 1000;

export class ParentWatch {
  readonly #onEnded: (processId: number) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(onEnded: (processId: number) => void) {
    this.#onEnded = onEnded;
  }

  /** Watches a process, in place of the one before. */
  watch(processId: number): void {
    this.end();
    this.#timer = setInterval(() => {
      try {
        process.kill(processId, 0);
      } catch (error) {
        // EPERM: it lives, as another user's.
        if (error instanceof Error && 'code' in error && error.code === 'EPERM') return;
        this.#onEnded(processId);
      }
    }, checkMs).unref();
  }

  end(): void {
    clearInterval(this.#timer);
  }
}
