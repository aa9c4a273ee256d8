// The bar of many files, and the summary after them.
import type { Result } from '../protocol/methods.ts';
import { bar } from './progress.ts';
import { formatBytes, formatCount, formatDuration } from './quantities.ts';
import { truncate } from './layout.ts';
import { onOneLine, type Style } from './text.ts';

export type Summary = Result<'parse/files'>;

/** Counts results as they come, for a bar. */
export class ParseProgress {
  readonly #startedAt = performance.now();
  /** Results of earlier folders and lists. */
  #before = 0;
  #done = 0;
  #total: number | undefined;
  #withErrors = 0;
  #failed = 0;

  get failed(): number {
    return this.#failed;
  }

  count(fate: 'ok' | 'error' | 'failed'): void {
    this.#done += 1;
    if (fate === 'error') this.#withErrors += 1;
    if (fate === 'failed') this.#failed += 1;
  }

  /** How many files the current folder or list has, once the host knows. */
  set total(total: number | undefined) {
    this.#total = total;
  }

  /** The next folder or list begins. */
  next(): void {
    this.#before = this.#done;
    this.#total = undefined;
  }

  lines(columns: number): string[] {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const rate = this.#done / Math.max(seconds, 0.001);
    const problems = [
      ...(this.#withErrors > 0 ? [`${this.#withErrors} with errors`] : []),
      ...(this.#failed > 0 ? [`${this.#failed} failed`] : []),
    ];
    const facts = [`${rate.toFixed(rate < 10 ? 1 : 0)}/s`, ...problems].join(', ');
    if (this.#total === undefined || this.#total === 0) {
      return [truncate(`${formatCount(this.#done, 'file')}, ${facts}`, columns)];
    }
    const done = this.#done - this.#before;
    const left = rate > 0 ? `, ${formatDuration((1000 * (this.#total - done)) / rate)} left` : '';
    const text = ` ${done} / ${formatCount(this.#total, 'file')}, ${facts}${left}`;
    const width = Math.min(40, columns - text.length);
    return [width < 5 ? truncate(text.trimStart(), columns) : bar(done, this.#total, width) + text];
  }
}

export function addSummaries(one: Summary, other: Summary): Summary {
  return {
    files: one.files + other.files,
    ok: one.ok + other.ok,
    error: one.error + other.error,
    failed: one.failed + other.failed,
    failures: addTallies(one.failures, other.failures),
    skipped: one.skipped + other.skipped,
    skippedLanguages: addTallies(one.skippedLanguages, other.skippedLanguages),
    ignored: one.ignored + other.ignored,
    warnings: [...one.warnings, ...other.warnings],
    bytes: one.bytes + other.bytes,
    elapsedMs: one.elapsedMs + other.elapsedMs,
  };
}

function addTallies(
  one: Readonly<Record<string, number>>,
  other: Readonly<Record<string, number>>,
): Record<string, number> {
  const sum = { ...one };
  for (const [name, count] of Object.entries(other)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}

/** `12 files (3.4 MiB) in 1.2 s: 10 ok, 1 with errors, 1 failed (timeout 1); 30 skipped (markdown 20, …); 2 ignored` */
export function summaryText(summary: Summary, style: Style): string {
  const { files, ok, error, failed, skipped, ignored, bytes, elapsedMs } = summary;
  const counts = [
    style('green', `${ok} ok`),
    ...(error > 0 ? [style('yellow', `${error} with errors`)] : []),
    ...(failed > 0 ? [style('red', `${failed} failed`) + listed(summary.failures)] : []),
  ];
  const left = skipped > 0 ? `; ${skipped} skipped${listed(summary.skippedLanguages)}` : '';
  const out = ignored > 0 ? `; ${ignored} ignored` : '';
  return `${formatCount(files, 'file')} (${formatBytes(bytes)}) in ${formatDuration(elapsedMs)}: ${counts.join(', ')}${left}${out}`;
}

/** The most frequent few of a tally. */
function listed(tally: Readonly<Record<string, number>>): string {
  const entries = Object.entries(tally).sort(([, a], [, b]) => b - a);
  if (entries.length === 0) return '';
  const shown = entries.slice(0, 5).map(([name, count]) => `${onOneLine(name === '' ? 'unknown' : name)} ${count}`);
  return ` (${[...shown, ...(entries.length > shown.length ? ['…'] : [])].join(', ')})`;
}
