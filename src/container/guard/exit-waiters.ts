// Who waits for which process to be reaped by the guard. A container may end before its process id is known here, so the
// status of a process that nobody waits for is kept for as long as a container is being booted, and no longer.

export class ExitWaiters {
  readonly #waiting = new Map<number, (status: number | undefined) => void>();
  readonly #unclaimed = new Map<number, number>();
  #booting = 0;
  #allGone = false;

  /** The guard has reaped a process: `pid` is its id in the guard's namespace, `status` as of wait(2). */
  reaped(pid: number, status: number): void {
    const waiting = this.#waiting.get(pid);
    this.#waiting.delete(pid);
    if (waiting !== undefined) waiting(status);
    else if (this.#booting > 0) this.#unclaimed.set(pid, status);
  }

  /** The guard is gone, and with it every process. */
  allGone(): void {
    this.#allGone = true;
    for (const waiting of this.#waiting.values()) waiting(undefined);
    this.#waiting.clear();
  }

  /** Call it before a container is started, and what it returns once its process is waited for or the start has failed. */
  beginBoot(): () => void {
    this.#booting += 1;
    return () => {
      this.#booting -= 1;
      if (this.#booting === 0) this.#unclaimed.clear();
    };
  }

  /** Resolves when the process has been reaped: with its status, or with undefined if the guard is gone. */
  wait(pid: number): Promise<number | undefined> {
    const status = this.#unclaimed.get(pid);
    this.#unclaimed.delete(pid);
    if (this.#allGone || status !== undefined) return Promise.resolve(status);
    return new Promise((resolve) => {
      this.#waiting.set(pid, resolve);
    });
  }
}
