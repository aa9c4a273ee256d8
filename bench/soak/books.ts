// What was asked, what came of it, and what was done to drivers and clients meanwhile.
import { hash } from 'node:crypto';
import type { Outcome, Sent } from './client.ts';

/** What the soak's driver makes of a source: the answer carries it, so that no other can be taken for it. */
export const hashOf = (content: string): string => hash('sha256', content, 'hex');

export class Books implements Sent {
  sent = 0;
  doubled = 0;
  answered = 0;
  lost = 0;
  wrong = 0;
  abandoned = 0;
  files = 0;
  /** Answers that came later than their time, the grace of their driver and what a loaded machine adds. */
  late = 0;
  readonly failed: Record<string, number> = {};
  readonly injected: Record<string, number> = {};
  readonly interactiveMs: number[] = [];
  readonly #lateMs: number;

  constructor(lateMs: number) {
    this.#lateMs = lateMs;
  }

  /** Enters what came of a request for the tree of a source. */
  enter(outcome: Outcome & { readonly elapsedMs: number }, content: string): void {
    if (outcome.kind === 'result') {
      const { uast } = outcome.result as { uast: { hash?: string } | null };
      if (uast?.hash === hashOf(content)) this.answered += 1;
      else this.wrong += 1;
    } else this.enterOther(outcome);
    if (outcome.kind !== 'abandoned' && outcome.elapsedMs > this.#lateMs) this.late += 1;
  }

  /** Enters what came of another request, whose result is right whatever it is. */
  enterOther(outcome: Outcome, of = ''): void {
    if (outcome.kind === 'result') this.answered += 1;
    else if (outcome.kind === 'error') this.fails(`${outcome.error}${of}`);
    else this[outcome.kind] += 1;
  }

  fails(kind: string): void {
    this.failed[kind] = (this.failed[kind] ?? 0) + 1;
  }

  injects(fault: string): void {
    this.injected[fault] = (this.injected[fault] ?? 0) + 1;
  }
}
