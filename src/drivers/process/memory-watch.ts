// The memory of one driver: what it uses, and whether the kernel has ended a process of it because all used too much.
import type { DriverProcess } from './driver-process.ts';

/** How often a driver that is at a request is asked, in milliseconds. */
const checkMs = 500;

export class MemoryWatch {
  readonly #driver: DriverProcess;
  readonly #onExhausted: () => void;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;

  /** @param onExhausted called where the kernel has ended one of its processes: the others may wait for that one for ever */
  constructor(driver: DriverProcess, onExhausted: () => void) {
    this.#driver = driver;
    this.#onExhausted = onExhausted;
  }

  /** When it was last measured, in bytes; 0 before that, or where nothing counts it. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Measures what it uses now. */
  async measure(): Promise<{ memoryBytes?: number; cpuMs?: number }> {
    const { memoryBytes, cpuMs } = await this.#driver.usage();
    this.#bytes = memoryBytes ?? 0;
    return { ...(memoryBytes !== undefined && { memoryBytes }), ...(cpuMs !== undefined && { cpuMs }) };
  }

  /**
   * Looks again and again. One timer serves all requests that follow each other: it stops by itself.
   * @param isAtWork whether the driver still has a request
   */
  watch(isAtWork: () => boolean): void {
    this.#timer ??= setInterval(() => {
      if (isAtWork()) void this.#check();
      else this.stop();
    }, checkMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #check(): Promise<void> {
    if ((await this.#driver.outOfMemory()) !== undefined) this.#onExhausted();
  }
}
