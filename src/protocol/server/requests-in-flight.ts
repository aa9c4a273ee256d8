// The requests of one client that are being worked on: to be cancelled by their ids, given up with the client, waited for.

export class RequestsInFlight {
  readonly #all = new Set<AbortController>();
  readonly #byId = new Map<string | number, AbortController>();
  /** Each is called when a request has ended. */
  readonly #onEnd = new Set<() => void>();

  begin(id: string | number | null): AbortController {
    const request = new AbortController();
    this.#all.add(request);
    if (id !== null) this.#byId.set(id, request);
    return request;
  }

  end(id: string | number | null, request: AbortController): void {
    this.#all.delete(request);
    if (id !== null && this.#byId.get(id) === request) this.#byId.delete(id);
    for (const each of this.#onEnd) each();
  }

  /** Cancels a request. An id that is unknown may have been answered meanwhile. */
  cancel(id: string | number): void {
    this.#byId.get(id)?.abort();
  }

  cancelAll(): void {
    for (const request of this.#all) request.abort();
  }

  /** Resolves when none is left besides `except`, which waits itself, or after so many milliseconds. */
  async wait(milliseconds: number, except?: AbortController): Promise<void> {
    const left = (): number => this.#all.size - (except !== undefined && this.#all.has(except) ? 1 : 0);
    if (left() === 0) return;
    let timer: NodeJS.Timeout | undefined;
    let check = (): void => undefined;
    await new Promise<void>((resolve) => {
      check = () => {
        if (left() === 0) resolve();
      };
      this.#onEnd.add(check);
      if (milliseconds !== Infinity) timer = setTimeout(resolve, milliseconds);
    });
    clearTimeout(timer);
    this.#onEnd.delete(check);
  }
}
