// Progress of long work to a client (LSP 3.17, "Work Done Progress"), never more often than an eye can follow.
import type { ProgressDetail, WorkDoneProgress } from '../client.ts';

/** Reports that come sooner than this after the last are dropped, in milliseconds. */
const intervalMs = 100;

export class ProgressReporter {
  readonly #send: (progress: WorkDoneProgress) => void;
  /** When each phase of each item was last reported: a layer's end must not be lost to another's beginning. */
  readonly #last = new Map<string, number>();
  #begun = false;

  constructor(send: (progress: WorkDoneProgress) => void) {
    this.#send = send;
  }

  begin(title: string): void {
    this.#begun = true;
    this.#send({ kind: 'begin', title, percentage: 0 });
  }

  report(detail: ProgressDetail): void {
    const key = `${detail.phase} ${detail.item ?? ''}`;
    const now = performance.now();
    const finished = detail.total !== undefined && detail.done >= detail.total;
    if (!finished && now - (this.#last.get(key) ?? -Infinity) < intervalMs) return;
    this.#last.set(key, now);
    // LSP's percentage is of the whole work and never falls, so one item of several has none.
    const { item, done, total = 0 } = detail;
    const percentage = item === undefined && total > 0 ? Math.floor((100 * done) / total) : undefined;
    this.#send({ kind: 'report', detail, ...(percentage !== undefined && { percentage }) });
  }

  end(): void {
    if (this.#begun) this.#send({ kind: 'end' });
    this.#begun = false;
  }
}
