// The figures of a run: a table for people, JSON for programs, and whether targets are met.
import { options } from './options.ts';
import type { Sample } from './statistics.ts';

export interface Figure {
  readonly name: string;
  readonly unit: 'ms' | 'requests/s' | 'files/s' | 'MB' | 's';
  readonly value: Sample;
  readonly baseline: { readonly name: string; readonly value: Sample };
  /** The bound of value/baseline: at most, or at least where more is better. */
  readonly target?: { readonly ratio: number; readonly is: 'at most' | 'at least' };
}

const ratio = ({ value, baseline }: Figure): number => value.median / baseline.value.median;

export function isMet(figure: Figure): boolean {
  const { target } = figure;
  if (target === undefined) return true;
  return target.is === 'at most' ? ratio(figure) <= target.ratio : ratio(figure) >= target.ratio;
}

/** Prints the figures, and sets the exit status where `--check` is given and a target is missed. */
export function report(figures: readonly Figure[]): void {
  if (options.json) {
    const rows = figures.map((figure) => ({ ...figure, ratio: ratio(figure), met: isMet(figure) }));
    process.stdout.write(`${JSON.stringify({ node: process.version, figures: rows }, undefined, 2)}\n`);
  } else {
    const rows = figures.map((figure) => [
      figure.name,
      describe(figure.value, figure.unit),
      describe(figure.baseline.value, figure.unit),
      ratio(figure).toFixed(2),
      figure.target === undefined ? '' : `${figure.target.is === 'at most' ? '≤' : '≥'} ${figure.target.ratio}`,
      figure.target === undefined ? '' : isMet(figure) ? 'met' : 'missed',
      figure.baseline.name,
    ]);
    printTable(['figure', 'babelhost', 'baseline', 'ratio', 'target', '', 'what the baseline is'], rows);
  }
  if (options.check && !figures.every(isMet)) process.exitCode = 1;
}

function describe({ median, low, high }: Sample, unit: Figure['unit']): string {
  const digits = median < 10 ? 2 : median < 100 ? 1 : 0;
  return `${median.toFixed(digits)} ${unit} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}

function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of [header, widths.map((width) => '-'.repeat(width)), ...rows]) {
    process.stdout.write(
      `${row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()}\n`,
    );
  }
}
