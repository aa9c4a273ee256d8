// The latencies of a pool's last requests, for its percentiles.

const kept = 1024;

export class Latencies {
  readonly #values = new Float64Array(kept);
  #count = 0;

  add(milliseconds: number): void {
    this.#values[this.#count % kept] = milliseconds;
    this.#count += 1;
  }

  /** The percentiles of the last 1,024 requests, in milliseconds; undefined where there were none. */
  percentiles(): { readonly p50: number; readonly p99: number } | undefined {
    const length = Math.min(this.#count, kept);
    if (length === 0) return undefined;
    const sorted = this.#values.slice(0, length).sort();
    const at = (part: number): number => sorted[Math.min(Math.floor(part * length), length - 1)] ?? 0;
    return { p50: at(0.5), p99: at(0.99) };
  }
}
