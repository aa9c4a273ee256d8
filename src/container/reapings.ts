// Which processes the guard has reaped, for whoever waits for one of them. A container may end before its process id is
// known here, so what nobody waits for is kept for as long as a container is being booted, and no longer.

export class Reapings {
  readonly #waiting = new Map<number, () => void>();
  readonly #unclaimed = new Set<number>();
  #booting = 0;
  #allGone = false;

  /** The guard has reaped a process: `pid` is its id in the guard's namespace. */
  reaped(pid: number): void {
    const waiting = this.#waiting.get(pid);
    this.#waiting.delete(pid);
    if (waiting !== undefined) waiting();
    else if (this.#booting > 0) this.#unclaimed.add(pid);
  }

  /** The guard is gone, and with it every process. */
  allGone(): void {
    this.#allGone = true;
    for (const waiting of this.#waiting.values()) waiting();
    this.#waiting.clear();
  }

  /** To be called before a container is started; what it returns, once its process has been waited for or failed. */
  beginBoot(): () => void {
    this.#booting += 1;
    return () => {
      this.#booting -= 1;
      if (this.#booting === 0) this.#unclaimed.clear();
    };
  }

  /** Resolves when the process has been reaped. */
  wait(pid: number): Promise<void> {
    if (this.#allGone || this.#unclaimed.delete(pid)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.set(pid, resolve);
    });
  }
}
